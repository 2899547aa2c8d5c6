"""Equality with the published implementations, which were run on the same random weights.

tests/data/published_generator.safetensors holds what they returned (large outputs: every fourth channel).
"""

from pathlib import Path

import pytest
import torch
from diffusers.models.attention_processor import Attention
from safetensors.torch import load_file
from torch import nn

from ipcir_steps.imagine.proxies.course import Course, calls
from ipcir_steps.imagine.proxies.elite import GlobalMapper, LocalMapper
from ipcir_steps.imagine.proxies.migc import MIGC, MIGCPlus, NaiveFuser
from ipcir_steps.imagine.proxies.processors import ImageRow, MIGCProcessor, Plan, Stage
from ipcir_steps.imagine.proxies.regions import Regions, box_masks

C, D, SIZE = 64, 768, 128
BOXES = [[0.1, 0.2, 0.55, 0.9], [0.4, 0.1, 0.93, 0.6], [0.3, 0.5, 0.8, 0.97]]


@pytest.fixture(scope="module")
def published_generator():
    return load_file(Path(__file__).parents[2] / "data" / "published_generator.safetensors")


def close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5


def plan(numbers):
    return Plan(
        text=numbers("text", 5, 77, D),
        pooled=numbers("pooled", 4, 1, D)[1:, 0],
        boxes=torch.tensor(BOXES),
        regions=Regions(box_masks(BOXES, SIZE, SIZE)),
    )


@pytest.mark.parametrize(
    ("kind", "name", "phase", "step"),
    [
        (MIGC, "migc", "migc", 25),
        (MIGC, "migc", "fuser", 26),
        (MIGC, "migc", "plain", 51),
        (MIGCPlus, "plus", "migc", 25),
    ],
)
@torch.no_grad()
def test_processor(published_generator, numbers, fill, kind, name, phase, step):
    attention = fill(Attention(query_dim=C, cross_attention_dim=D, heads=8, dim_head=C // 8), "attn.")
    course = Course(steps=60)
    stage = Stage(plan(numbers), step, calls(course, [0] * course.steps, 1000)[step].migc)
    processor = MIGCProcessor(stage, fill(kind(C), f"{name}."))
    hidden = numbers("hidden", 2, 256, C)
    theirs = published_generator[f"{name}.processor.{phase}"]
    close(processor(attention, hidden)[..., ::4], theirs)
    both = processor(attention, hidden.repeat_interleave(2, 0))  # two proxies in one batch
    close(both[1::2, :, ::4], theirs)


@pytest.mark.parametrize(("kind", "name"), [(MIGC, "migc"), (MIGCPlus, "plus"), (None, "fuser")])
@torch.no_grad()
def test_block(published_generator, numbers, fill, kind, name):
    level = Regions(box_masks(BOXES, SIZE, SIZE)).level(64)
    cross = numbers("cross", 1, 4, 64, C)
    if kind is None:
        ours = NaiveFuser()(cross, level)
    else:
        block = fill(kind(C), f"{name}.")
        context = block.context(numbers("pooled", 4, 1, D)[1:, 0], torch.tensor(BOXES))
        ours = block(cross, numbers("tokens", 1, 1, 64, C)[:, 0], context, level)
    close(ours, published_generator["fuser" if kind is None else f"{name}.block"])


@pytest.mark.parametrize(("kind", "name"), [(GlobalMapper, "global"), (LocalMapper, "local")])
@torch.no_grad()
def test_mapper(published_generator, numbers, fill, kind, name):
    states = [numbers(f"state{i}", 1, 17, 32) for i in range(5)]
    close(fill(kind(32, 24), f"{name}.")(states), published_generator[f"mapper.{name}"])


@torch.no_grad()
def test_local_attention(published_generator, numbers, fill):
    """ELITE's cross-attention (lambda = 1) is twice the row of an image instance at weight 0.5."""
    linear = {f"to_{y}_{x}": nn.Linear(D, C, bias=False) for x in ("global", "local") for y in "kv"}
    names = {"to_q": nn.Linear(C, C, bias=False), **linear, "to_out": nn.ModuleList([nn.Linear(C, C)])}
    published = fill(nn.ModuleDict(names), "elite.")
    attention = Attention(query_dim=C, cross_attention_dim=D, heads=8, dim_head=C // 8)
    attention.to_q, attention.to_out[0] = published["to_q"], published["to_out"][0]
    processor = MIGCProcessor(Stage(local_weight=0.5))
    for kind in ("global", "local"):
        pair = {f"to_{y}": published[f"to_{y}_{kind}"] for y in "kv"}
        setattr(processor, f"elite_{kind}", nn.ModuleDict(pair))
    regions = Regions(box_masks([[0, 0, 1, 1]], 64, 64))
    image = ImageRow(numbers("local", 1, 16, D)[0], placeholder=2)
    text = torch.cat([torch.zeros(2, 77, D), numbers("injected", 1, 77, D)])
    processor.stage.plan = Plan(text, torch.zeros(1, D), torch.tensor([[0.0, 0, 1, 1]]), regions, {0: image})
    # The scene's text is zero, so its row is zero before the output projection, and the fuser leaves 10 / 11 of ours.
    bias = attention.to_out[0].bias
    ours = processor(attention, numbers("image-row", 1, 64, C).repeat(2, 1, 1))[1:]
    fused = torch.tensor(10 / (11 + 1e-6))
    close((ours - bias * 11 / (11 + 1e-6)) / fused * 2 + bias, published_generator["elite.attention"])


@pytest.mark.parametrize("kind", [MIGC, MIGCPlus])
def test_every_weight_can_be_trained(numbers, fill, kind):
    """Gradients reach the input and every weight of the block, with an image instance among the rows."""
    attention = Attention(query_dim=C, cross_attention_dim=D, heads=8, dim_head=C // 8)
    layout = plan(numbers)
    layout.images[1] = ImageRow(numbers("local", 1, 16, D)[0], placeholder=2)
    processor = MIGCProcessor(Stage(layout), fill(kind(C)))
    for role in ("elite_global", "elite_local"):
        setattr(processor, role, nn.ModuleDict({part: nn.Linear(D, C, bias=False) for part in ("to_k", "to_v")}))
    hidden = numbers("hidden", 2, 256, C).requires_grad_()
    processor(attention, hidden).square().sum().backward()
    assert hidden.grad.abs().max() > 0
    assert [name for name, weight in processor.named_parameters() if weight.grad is None] == []
