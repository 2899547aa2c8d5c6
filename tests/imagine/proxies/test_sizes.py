"""Small and oblong pictures: boxes of a few latents, levels whose sides are odd, against the explicit computation."""

import pytest
import torch
from diffusers import StableDiffusionPipeline

from ipcir_steps.core.checkpoints import read_checkpoint
from ipcir_steps.imagine.proxies.checkpoints import group, load_migc
from ipcir_steps.imagine.proxies.course import Course
from ipcir_steps.imagine.proxies.pipeline import Item, LayoutPipeline
from ipcir_steps.imagine.proxies.regions import Regions, box_masks

BOXES = [(0.1, 0.2, 0.6, 0.9), (0.55, 0.05, 0.68, 0.17)]  # the second: half a position of the deepest level, or less


@pytest.mark.parametrize(
    ("width", "height", "guidance"),
    [
        (40, 48, 7.5),
        (96, 40, 1.0),
        pytest.param(256, 256, 1.0, marks=pytest.mark.slow),
        pytest.param(320, 384, 1.0, marks=pytest.mark.slow),
    ],
)
def test_pictures_of_any_size(stable_diffusion, checkpoints, explicit, width, height, guidance):
    """256, 320 and 384 as the settings may be: 320 pixels have levels of 40, 20, 10 and 5 positions."""
    parts = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
    stage = load_migc(parts.unet, checkpoints / "migc.ckpt")
    layout = LayoutPipeline(parts.unet, parts.vae, parts.text_encoder, parts.tokenizer, stage)
    items = [Item("a cat", BOXES[0]), Item("a red dog", BOXES[1])]
    plan, noise = layout.plan("a garden", items, "bad", width, height), layout.noise([1], width, height)
    stage.fuser_steps = 9
    ours = layout.follow(Course(3, guidance, migc_steps=1), plan, noise)
    assert ours.shape[2:] == (height // 8, width // 8)

    unet = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None).unet.double()
    situation = explicit.Situation(plan.text.double(), plan.pooled.double(), BOXES, (height, width), 1, 9)
    blocks = group(read_checkpoint(checkpoints / "migc.ckpt"), "")
    explicit.set_processors(
        unet, situation, {name: {key: value.double() for key, value in block.items()} for name, block in blocks.items()}
    )
    *_, theirs = explicit.denoise(unet, situation, noise[0].double(), 3, guidance)
    assert (ours[0] - theirs).abs().max() <= 1e-3 and theirs.abs().max() > 10


@pytest.mark.parametrize("side", [256, 320, 384, 512])
def test_a_mask_covers_its_box_at_every_level(side):
    """The mean of an instance's mask is the area of its box, within the pixels that its edges cut and a position."""
    boxes, latent = [*BOXES, (0.0, 0.0, 1.0, 1.0)], side // 8
    regions = Regions(box_masks(boxes, side, side))
    for divide in (1, 2, 4, 8):
        grid = -(-latent // divide)
        level = regions.level(grid * grid)
        assert level.grid == (grid, grid)
        for mask, (x1, y1, x2, y2) in zip(level.instances, boxes, strict=True):
            assert float(mask.mean()) == pytest.approx((x2 - x1) * (y2 - y1), abs=2 * (x2 - x1 + y2 - y1) / grid)
        assert torch.allclose(level.instances[2], torch.ones(grid * grid))
