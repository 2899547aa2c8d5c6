"""The whole layout pipeline against an independent computation in float64, and against itself."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor2_0
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPVisionModel

from ipcir_steps.core.checkpoints import read_checkpoint
from ipcir_steps.core.devices import in_batches
from ipcir_steps.core.errors import ModelError, StepFailure
from ipcir_steps.imagine.proxies import regions
from ipcir_steps.imagine.proxies.checkpoints import LAYER, group, load_migc
from ipcir_steps.imagine.proxies.course import Course
from ipcir_steps.imagine.proxies.elite import load_elite
from ipcir_steps.imagine.proxies.pipeline import Item, LayoutPipeline
from ipcir_steps.imagine.proxies.processors import TwinProcessor

DISC = (np.hypot(*np.mgrid[-32:32, -32:32]) < 20).astype(np.uint8)
TEXT = [Item("a cat", (0.1, 0.2, 0.6, 0.9)), Item("a red dog", (0.4, 0.05, 0.95, 0.7))]
REGIONS = [TEXT[0], dataclasses.replace(TEXT[1], region=DISC)]


@pytest.fixture
def build(stable_diffusion, checkpoints):
    def build(kind="migc", elite=False):
        base = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
        stage = load_migc(base.unet, checkpoints / f"{kind}.ckpt")
        mappers = None
        if elite:
            vision = CLIPVisionModel.from_pretrained(checkpoints / "vision").eval()
            mappers = load_elite(base.unet, checkpoints / "global.pt", checkpoints / "local.pt", vision)
        return LayoutPipeline(base.unet, base.vae, base.text_encoder, base.tokenizer, stage, mappers)

    return build


def picture(numbers):
    pixels = ((numbers("picture", 40, 60, 3) + 1) * 127).to(torch.uint8).numpy()
    mask = np.zeros((40, 60), np.uint8)
    mask[5:30, 10:50] = 1
    return Image.fromarray(pixels), mask


@pytest.mark.parametrize(
    ("kind", "phases", "elite", "items", "guidance"),
    [
        ("migc", (3, 9), False, TEXT, 7.5),
        ("migc", (3, 5), False, TEXT, 7.5),
        ("migc", (3, 9), False, [], 7.5),
        ("migc", (4, 9), True, TEXT, 7.5),
        ("migc++", (4, 9), True, TEXT, 7.5),
        ("migc++", (4, 9), False, REGIONS, 7.5),
        ("migc", (3, 5), True, TEXT, 1.0),
        ("migc++", (3, 9), True, TEXT, 0.0),
    ],
)
def test_latents_of_every_step(
    stable_diffusion, checkpoints, explicit, numbers, build, kind, phases, elite, items, guidance
):
    """Without guidance the conditional rows alone: guidance 1 of the explicit computation, which has both."""
    pipeline, rows = build(kind, elite), set()
    pipeline.unet.conv_in.register_forward_hook(lambda module, inputs, output: rows.add(len(output)))
    if elite:
        image, mask = picture(numbers)
        items = [items[0], Item("a dog", items[1].box, "dog", reference=image, mask=mask)]
    plan = pipeline.plan("a garden", items, "bad", 64, 64)
    pipeline.stage.fuser_steps, course = phases[1], Course(8, guidance, migc_steps=phases[0])
    noise, ours = pipeline.noise([1, 2], 64, 64), []
    pipeline.follow(course, plan, noise, callback=lambda step, latents: ours.append(latents.clone()))
    assert rows == {4 if guidance > 1 else 2}

    unet = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None).unet.double()
    boxes = [item.box for item in items for _ in range(1 + (item.reference is not None))]
    images = {row: (image.local.double(), image.placeholder) for row, image in plan.images.items()}
    situation = explicit.Situation(
        plan.text.double(), plan.pooled.double(), boxes, (64, 64), *phases, images if elite else {}
    )
    situation.regions = {n: torch.from_numpy(i.region).double() for n, i in enumerate(items) if i.region is not None}
    blocks = group(read_checkpoint(checkpoints / f"{kind}.ckpt"), "")
    blocks = {name: {key: value.double() for key, value in block.items()} for name, block in blocks.items()}
    weights = {}
    if elite:
        words, patches = torch.load(checkpoints / "global.pt"), torch.load(checkpoints / "local.pt")
        for name in unet.attn_processors:
            path = name.removesuffix(".processor")
            if path.endswith("attn2"):
                stem = path.replace(".", "_")
                pairs = [source[f"{stem}_to_{part}.weight"] for source in (words, patches) for part in "kv"]
                weights[path] = [pair.double() for pair in pairs]
    explicit.set_processors(unet, situation, blocks, weights)
    for number in range(2):
        theirs = list(explicit.denoise(unet, situation, noise[number].double(), 8, max(guidance, 1)))
        assert len(theirs) == len(ours) == 8
        assert max(latent.abs().max() for latent in theirs) > 20
        for mine, exact in zip(ours, theirs, strict=True):
            assert (mine[number] - exact).abs().max() <= 1e-3


def test_five_in_one_batch_equal_five_calls(build, numbers):
    pipeline = build(elite=True)
    image, mask = picture(numbers)
    items = [*TEXT, Item("a dog", (0.2, 0.3, 0.7, 0.8), "dog", reference=image, mask=mask)]
    plan = pipeline.plan("a garden", items, "bad", 64, 64)
    together = pipeline.follow(Course(6), plan, pipeline.noise(range(5), 64, 64))
    for seed in range(5):
        alone = pipeline.follow(Course(6), plan, pipeline.noise([seed], 64, 64))
        assert (together[seed] - alone[0]).abs().max() <= 1e-4


def test_what_is_left_out_changes_nothing(build, monkeypatch):
    """Instances outside their windows, and the second half before the first cross-attention: exactly superfluous."""
    pipeline = build()
    plan = pipeline.plan("a garden", TEXT, "bad", 64, 64)
    first = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor"
    twins = [name for name, kind in pipeline.unet.attn_processors.items() if isinstance(kind, TwinProcessor)]
    assert twins == [first]
    level = plan.regions.level(64)
    assert level.windows[0] != (0, 8, 0, 8) and level.windows[1] != (0, 8, 0, 8)
    course = Course(5, migc_steps=2)
    short = pipeline.follow(course, plan, pipeline.noise([1, 2], 64, 64))
    calls, plain = [], AttnProcessor2_0.__call__

    def counting(self, attn, hidden_states, *args, **kwargs):
        calls.append(len(hidden_states))
        return plain(self, attn, hidden_states, *args, **kwargs)

    monkeypatch.setattr(AttnProcessor2_0, "__call__", counting)
    monkeypatch.setattr(regions, "window_of", lambda mask: (0, mask.shape[0], 0, mask.shape[1]))
    monkeypatch.setattr(TwinProcessor, "__call__", lambda self, *args, **kwargs: self.plain(*args, **kwargs))
    plan = pipeline.plan("a garden", TEXT, "bad", 64, 64)
    whole = pipeline.follow(course, plan, pipeline.noise([1, 2], 64, 64))
    assert set(calls) == {4}
    assert whole.abs().max() > 1
    assert (short - whole).abs().max() <= 1e-4


def test_an_instance_too_small_for_the_grid_is_drawn_as_scene(build):
    """A box of less than a pixel has an empty mask: its window is empty and the other instance is not disturbed."""
    pipeline = build()
    pipeline.stage.fuser_steps = 9
    speck = Item("a cat", (0.501, 0.501, 0.502, 0.502))
    plan = pipeline.plan("a garden", [TEXT[1], speck], "bad", 64, 64)
    assert plan.regions.level(64).windows[1] == (0, 0, 0, 0)
    assert pipeline.follow(Course(3), plan, pipeline.noise([1], 64, 64)).isfinite().all()


def test_running_out_of_memory_halves_the_batch(build, monkeypatch):
    pipeline = build()
    expected = pipeline("a garden", TEXT, range(5), steps=2, width=64, height=64, fuser_steps=9, proxies_per_batch=1)
    sizes, follow = [], LayoutPipeline.follow

    def limited(self, course, plan, noise, *args, **options):
        sizes.append(len(noise))
        if len(noise) > 2:
            raise torch.OutOfMemoryError("too much")
        return follow(self, course, plan, noise, *args, **options)

    monkeypatch.setattr(LayoutPipeline, "follow", limited)
    images = pipeline("a garden", TEXT, range(5), steps=2, width=64, height=64, fuser_steps=9)
    assert sizes == [5, 3, 2, 2, 1]
    for image, other in zip(images, expected, strict=True):
        assert np.abs(np.asarray(image, int) - np.asarray(other, int)).max() <= 1


def test_an_autoencoder_of_another_factor(build):
    pipeline = build()
    config = dict(pipeline.vae.config, block_out_channels=(8, 8, 8))
    config |= {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    smaller = LayoutPipeline(
        pipeline.unet,
        AutoencoderKL.from_config(config),
        pipeline.text_encoder,
        pipeline.tokenizer,
        pipeline.stage,
        prediction="v_prediction",
    )
    plan = smaller.plan("a garden", TEXT, "", 32, 32)
    assert smaller.noise([0], 32, 32).shape[2:] == plan.regions.latent.shape[2:] == (8, 8)
    assert smaller.scheduler.config.prediction_type == "v_prediction"
    (image,) = smaller("a garden", TEXT, [0], steps=3, width=32, height=32)
    assert image.size == (32, 32)


def test_main_memory_is_memory_too():
    """What torch raises when the main memory ends halves the batch; with one image it ends with one message."""
    sizes = []

    def draw(seeds):
        sizes.append(len(seeds))
        return [torch.empty(2**60) for _ in seeds] if len(seeds) > 1 or seeds[0] == 3 else [seeds[0]]

    assert in_batches(range(3), 4, draw) == [0, 1, 2]
    assert sizes == [3, 2, 1, 1, 1]
    with pytest.raises(ModelError, match="one image at a time does not fit into memory"):
        in_batches([3], 1, draw)
    with pytest.raises(RuntimeError, match="another"):
        in_batches([1], 1, lambda seeds: (_ for _ in ()).throw(RuntimeError("another")))


def test_a_tokenizer_without_the_placeholder_is_refused(build, numbers, monkeypatch):
    pipeline = build(elite=True)
    image, mask = picture(numbers)
    items = [Item("a dog", TEXT[0].box, "dog", reference=image, mask=mask)]
    monkeypatch.setattr("ipcir_steps.imagine.proxies.pipeline.PLACEHOLDER", "@@@</w>")  # no token of this tokenizer
    with pytest.raises(ModelError, match="the tokenizer has no token"):
        pipeline.plan("a garden", items, "bad", 64, 64)


def test_the_word_replaces_the_placeholder_and_only_it(build, numbers):
    pipeline = build(elite=True)
    word = numbers("word", pipeline.text_encoder.config.hidden_size)
    plain, _, _ = pipeline.encode(["", "", "a * dog"], [], [])
    states, pooled, places = pipeline.encode(["", "", "a * dog"], [0], [word])
    assert places == [2]
    ids = pipeline.tokenizer(["a * dog"], padding="max_length", return_tensors="pt").input_ids
    embeddings = pipeline.text_encoder.get_input_embeddings()
    with torch.no_grad():
        changed = copy.deepcopy(pipeline.text_encoder)
        table = embeddings.weight.clone()
        table[ids[0, 2]] = word
        changed.get_input_embeddings().weight.copy_(table)
        expected = changed(ids).last_hidden_state[0]
    assert (states[2] - expected).abs().max() <= 1e-6
    assert torch.equal(states[:2], plain[:2])
    end = int(ids[0].argmax())
    assert torch.allclose(pooled[2], plain[2, end], atol=1e-6) and not torch.allclose(pooled[2], states[2, end])
    assert (states[2, 2:] - plain[2, 2:]).abs().max() > 1e-3
    assert torch.equal(states[2, :2], plain[2, :2])


def test_published_gate_changes_the_image_and_only_with_references(build, numbers):
    pipeline = build(elite=True)
    image, mask = picture(numbers)
    for reference, differs in ((image, True), (None, False)):
        items = [Item("a dog", TEXT[0].box, "dog", reference=reference, mask=mask)]
        plan = pipeline.plan("a garden", items, "bad", 64, 64)
        results = []
        for pipeline.stage.published_gate in (False, True):
            results.append(pipeline.follow(Course(4), plan, pipeline.noise([1], 64, 64)))
        assert ((results[0] - results[1]).abs().max() > 1e-4) == differs


def test_limits(build):
    pipeline = build()
    call = {"steps": 1, "width": 64, "height": 64, "fuser_steps": 9}
    assert pipeline("a garden", [], [1], **call)[0].size == (64, 64)
    pipeline("a garden", TEXT[:1] * 28, [1], **call)
    with pytest.raises(StepFailure, match="29 instances"):
        pipeline("a garden", TEXT[:1] * 29, [1], **call)
    plan = pipeline.plan("word " * 200, [], "", 64, 64)
    assert plan.text.shape[1] == 77


def test_safetensors_checkpoints_are_read_too(checkpoints, tmp_path, build):
    from safetensors.torch import save_file

    values = read_checkpoint(checkpoints / "migc++.ckpt")
    save_file(values, tmp_path / "migc++.safetensors")
    again = read_checkpoint(tmp_path / "migc++.safetensors")
    assert again.keys() == load_file(tmp_path / "migc++.safetensors").keys() == values.keys()
    assert build("migc++").unet.get_submodule("mid_block.attentions.0" + LAYER).processor.migc.gamma.item() != 0
