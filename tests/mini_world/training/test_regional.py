"""The layout attention of the trainings is that of the pipeline, for each picture of a batch."""

import pytest
import torch

from ipcir_steps.imagine.proxies.checkpoints import LAYER, install
from ipcir_steps.imagine.proxies.elite import GlobalMapper, LocalMapper
from ipcir_steps.imagine.proxies.processors import ImageRow, MIGCProcessor, Plan
from ipcir_steps.imagine.proxies.regions import Regions, box_masks
from mini_world import diffusion
from mini_world.training.drawing import teach
from mini_world.training.regional import Layouts, References, latent_masks

BOXES = torch.tensor([[[0.1, 0.1, 0.4, 0.4], [0.55, 0.5, 1.0, 0.95]], [[0.3, 0.25, 0.8, 0.7], [0.0, 0.0, 0.0, 0.0]]])
PRESENT = torch.tensor([[True, True], [True, False]])


@pytest.mark.parametrize("blocks", [2, 0])
def test_a_batch_equals_the_pipeline_picture_by_picture(blocks):
    torch.manual_seed(0)
    unet = diffusion.unet().eval()
    migc = diffusion.migc_blocks(unet).eval()
    text, pooled, noise = torch.randn(5, 77, 64), torch.randn(5, 64), torch.randn(2, 4, 16, 16)
    rows = torch.tensor([[1, 2, 3], [4, 2, 0]])
    layouts = Layouts(text, pooled, rows, PRESENT, BOXES, latent_masks(BOXES, PRESENT, 64, 16), blocks)

    class Lesson:
        pass

    Lesson.layouts = layouts
    time = torch.tensor([700, 700])
    with torch.no_grad():
        teach(Lesson, unet, migc)
        together = unet(noise, time, encoder_hidden_states=text[:1]).sample
        stage = install(unet)
        for name, block in migc.items():
            unet.get_submodule(name.replace("-", ".") + LAYER).processor.migc = block
        stage.migc = bool(blocks)
        for picture in range(2):
            count = int(PRESENT[picture].sum())
            boxes, chosen = BOXES[picture, :count], rows[picture, : 1 + count]
            regions = Regions(box_masks(boxes.tolist(), 64, 64), factor=4)
            stage.plan = Plan(torch.cat([text[:1], text[chosen]]), pooled[chosen[1:]], boxes, regions)
            alone = unet(noise[picture].expand(2, -1, -1, -1), time, encoder_hidden_states=text[:1].expand(2, -1, -1))
            torch.testing.assert_close(alone.sample[1:], together[picture : picture + 1], atol=1e-5, rtol=1e-5)


def test_a_picture_without_instances_is_drawn_from_its_scene():
    torch.manual_seed(0)
    unet = diffusion.unet().eval()
    text, noise = torch.randn(3, 77, 64), torch.randn(1, 4, 16, 16)
    absent, boxes = torch.zeros(1, 2, dtype=torch.bool), torch.zeros(1, 2, 4)

    class Lesson:
        layouts = Layouts(
            text, text[:, 0], torch.tensor([[2, 0, 0]]), absent, boxes, latent_masks(boxes, absent, 64, 16), 0
        )

    with torch.no_grad():
        plain = unet(noise, 300, encoder_hidden_states=text[2:]).sample
        teach(Lesson, unet, diffusion.migc_blocks(unet))
        torch.testing.assert_close(unet(noise, 300, encoder_hidden_states=text).sample, plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("blocks", [1, 0])
def test_references_as_in_the_pipeline(blocks):
    torch.manual_seed(0)
    unet = diffusion.unet().eval()
    migc = diffusion.migc_blocks(unet).eval()
    elite = {"global": diffusion.mapper(GlobalMapper, unet), "local": diffusion.mapper(LocalMapper, unet)}
    text, pooled, noise = torch.randn(4, 32, 64), torch.randn(4, 64), torch.randn(1, 4, 16, 16)
    local, boxes, present = torch.randn(1, 64, 64), BOXES[:1, [0, 0]], torch.ones(1, 2, dtype=torch.bool)
    references = References(torch.tensor([0]), torch.tensor([2]), local, torch.tensor([2]))
    masks = latent_masks(boxes, present, 64, 16)

    class Lesson:
        layouts = Layouts(text, pooled, torch.tensor([[1, 2, 3]]), present, boxes, masks, blocks, references)

    with torch.no_grad():
        teach(Lesson, unet, migc, elite)
        together = unet(noise, 500, encoder_hidden_states=text[:1]).sample
        stage = install(unet)
        for name, block in migc.items():
            unet.get_submodule(name.replace("-", ".") + LAYER).processor.migc = block
        for name, processor in unet.attn_processors.items():
            if isinstance(processor, MIGCProcessor):
                layer = name.removesuffix(".processor").replace(".", "_")
                for role, mapper in elite.items():
                    pair = {part: getattr(mapper, f"{layer}_{part}") for part in ("to_k", "to_v")}
                    setattr(processor, f"elite_{role}", torch.nn.ModuleDict(pair))
        stage.migc = bool(blocks)
        regions = Regions(box_masks(boxes[0].tolist(), 64, 64), factor=4)
        stage.plan = Plan(text, pooled[2:], boxes[0], regions, {1: ImageRow(local[0], 2)})
        alone = unet(noise.expand(2, -1, -1, -1), 500, encoder_hidden_states=text[:1].expand(2, -1, -1)).sample
    torch.testing.assert_close(alone[1:], together, atol=1e-5, rtol=1e-5)
