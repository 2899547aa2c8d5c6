"""Merged tokens against bipartite soft matching written out, pair by pair, and in whole runs."""

import math

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.checkpoints import read_checkpoint
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.checkpoints import group, load_migc
from ipcir_steps.imagine.proxies.course import Course
from ipcir_steps.imagine.proxies.generator import Task, load_generator
from ipcir_steps.imagine.proxies.merging import MergingProcessor, match, means, merge_tokens
from ipcir_steps.imagine.proxies.pipeline import Item, LayoutPipeline
from tests.hub.pipelines import DRAWING

ITEMS = [Item("a cat", (0.1, 0.2, 0.6, 0.9)), Item("a red dog", (0.4, 0.05, 0.95, 0.7))]


def groups(row, grid, share):
    """The positions of each merged one: those with even coordinates first, then those that stay alone."""
    height, width = grid
    vectors = row.double().tolist()
    even = [y * width + x for y in range(0, height, 2) for x in range(0, width, 2)]
    found, pairs = {place: [place] for place in even}, []

    def cosine(a, b):
        dot = sum(x * y for x, y in zip(vectors[a], vectors[b], strict=True))
        return dot / math.hypot(*vectors[a]) / math.hypot(*vectors[b])

    for place in range(height * width):
        if place not in found:
            best = max(even, key=lambda other, place=place: (cosine(place, other), -other))
            pairs.append((-cosine(place, best), place, best))
    pairs.sort()
    merged = min(math.floor(share * height * width), len(pairs))
    for _, place, best in pairs[:merged]:
        found[best].append(place)
    return [*found.values(), *([place] for place in sorted(place for _, place, _ in pairs[merged:]))]


def written_out(attention, row, grid, share):
    """Attention of the means of the groups, given back to all of each group. row: [T, C]"""
    found = groups(row, grid, share)
    small = torch.stack([row[places].mean(0) for places in found])
    out, whole = AttnProcessor()(attention, small[None])[0], torch.empty_like(row)
    for number, places in enumerate(found):
        whole[places] = out[number]
    return whole


@torch.no_grad()
@pytest.mark.parametrize(
    ("grid", "share"), [((8, 8), 0.5), ((6, 10), 0.3), ((5, 7), 0.75), ((4, 4), 0.01), ((3, 3), 0.75)]
)
def test_against_the_computation_written_out(numbers, fill, grid, share):
    """Square, oblong, with odd sides, all that can be merged, and nothing."""
    attention = fill(Attention(query_dim=16, heads=4, dim_head=4), "attn.").double()
    processor, tokens = MergingProcessor(share), numbers("tokens", 3, math.prod(grid), 16).double()
    processor.see(None, [tokens.transpose(1, 2).unflatten(2, grid)])
    ours = processor(attention, tokens)
    for row, theirs in zip(ours, tokens, strict=True):
        assert (row - written_out(attention, theirs, grid, share)).abs().max() <= 1e-12
    whole = AttnProcessor2_0()(attention, tokens)
    assert (whole - ours).abs().max() <= 1e-12 if share < 0.1 else (whole - ours).abs().max() > 1e-3


def test_equal_likenesses_go_by_position():
    """All positions are alike: the first ones are merged, into the first one of all."""
    places, count = match(torch.ones(1, 16, 4), (4, 4), 0.5)
    assert count == 8
    assert places.tolist() == [[0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 3, 0, 4, 5, 6, 7]]


def test_a_row_does_not_depend_on_the_others(numbers):
    tokens = numbers("rows", 4, 64, 16)
    other = torch.cat([tokens[:1], numbers("others", 3, 64, 16)])
    (first, count), (second, _) = match(tokens, (8, 8), 0.5), match(other, (8, 8), 0.5)
    assert torch.equal(first[0], second[0]) and not torch.equal(first[1], second[1])
    assert torch.equal(means(tokens, first, count)[0], means(other, second, count)[0])


def parts_of(directory, share, checkpoints):
    parts = StableDiffusionPipeline.from_pretrained(directory, safety_checker=None)
    merge_tokens(parts.unet, share)
    stage = load_migc(parts.unet, checkpoints / "migc.ckpt")
    return LayoutPipeline(parts.unet, parts.vae, parts.text_encoder, parts.tokenizer, stage)


class Explicit:
    """Both halves of the guidance, one after the other."""

    def __call__(self, attn, hidden_states, **kwargs):
        side = math.isqrt(hidden_states.shape[1])
        return torch.stack([written_out(attn, row, (side, side), 0.5) for row in hidden_states])


def test_a_run_with_a_layout(stable_diffusion, checkpoints, explicit):
    """Two images in one batch with guidance, through MIGC's and the fuser's phase, each against the explicit maps with
    merging written out, in float64."""
    layout = parts_of(stable_diffusion, 0.5, checkpoints)
    plan, noise = layout.plan("a garden", ITEMS, "bad", 64, 64), layout.noise([1, 2], 64, 64)
    layout.stage.fuser_steps = 9
    ours = layout.follow(Course(2, 7.5, migc_steps=0), plan, noise)
    unet = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None).unet.double()
    blocks = group(read_checkpoint(checkpoints / "migc.ckpt"), "")
    blocks = {name: {key: value.double() for key, value in block.items()} for name, block in blocks.items()}
    boxes = [item.box for item in ITEMS]
    situation = explicit.Situation(plan.text.double(), plan.pooled.double(), boxes, (64, 64), 0, 9)
    explicit.set_processors(unet, situation, blocks)
    for block in (unet.down_blocks[0], unet.up_blocks[3]):
        for layer in block.attentions:
            layer.transformer_blocks[0].attn1.set_processor(Explicit())
    for image, start in zip(ours, noise, strict=True):
        *_, theirs = explicit.denoise(unet, situation, start.double(), 2, 7.5)
        assert (image - theirs).abs().max() <= 1e-3
    plain = parts_of(stable_diffusion, 0, checkpoints)
    plain.stage.fuser_steps = 9
    assert (plain.follow(Course(2, 7.5, migc_steps=0), plan, noise) - ours).abs().max() > 1e-2


def test_off_leaves_the_network_as_it_is(stable_diffusion):
    unet = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None).unet
    before = dict(unet.attn_processors)
    merge_tokens(unet, 0)
    assert all(unet.attn_processors[name] is processor for name, processor in before.items())
    assert not any(layer._forward_pre_hooks for layer in unet.modules())
    assert "merge_tokens" not in Proxies(merge_tokens=0.0).model_dump()
    merge_tokens(unet, 0.25)
    changed = [name for name, processor in unet.attn_processors.items() if processor is not before[name]]
    assert len(changed) == 5 and all("attn1" in name for name in changed)
    assert {name[:11] for name in changed} == {"down_blocks", "up_blocks.3"}


def test_generators_without_a_layout(stable_diffusion, tmp_path):
    """Text-to-image with a U-Net merges too; a transformer, which could not, is refused."""
    task = Task("q", "", "a garden", (), (3,))

    def drawn(directory, **settings):
        given = {"width": 64, "height": 64, "steps": 2, "guidance": 3.0, "device": "cpu", **settings}
        generator = load_generator(Proxies(**given), {"generator": load_manifest(directory)})
        return generator.draw(task)[0][0].tobytes()

    assert drawn(stable_diffusion) == drawn(stable_diffusion, merge_tokens=0.0)
    assert drawn(stable_diffusion) != drawn(stable_diffusion, merge_tokens=0.5)
    tokenizer = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None).tokenizer
    DRAWING["flux"](tokenizer, tmp_path / "flux")
    with pytest.raises(InputError, match="merges positions of a U-Net, which the model does not have"):
        drawn(tmp_path / "flux", merge_tokens=0.5)
