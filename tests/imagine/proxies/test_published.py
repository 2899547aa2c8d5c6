"""The published generator stays what it was, whatever settings are added: its settings, its loop and its images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image
from safetensors.torch import load_file

from ipcir_steps.config import load_config, section_json
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.generator import Instance, Task
from ipcir_steps.imagine.proxies.migc_generator import MIGCGenerator

RECORDED = Path(__file__).parents[2] / "data" / "published_run.safetensors"
SETTINGS = {
    "acceptance_iou": 0.25, "acceptance_score": 0.3, "base_config": None, "count": 5, "device": "auto",
    "directory": None, "dtype": "auto", "enrichment": "published", "fuser_steps": 50, "generator": "migc",
    "guidance": 7.5, "height": 512, "image_guidance": 1.5, "local_weight": 0.5, "migc_steps": 25,
    "negative_prompt": "worst quality, low quality, bad anatomy", "proxies_per_batch": 5, "published_gate": True,
    "redraws": 0, "regions": "box", "settings": {}, "statistics": "data/models/coco_box_statistics.json", "steps": 50,
    "unmasked": "text", "width": 512,
}  # fmt: skip


def published():
    return load_config({}).stacks["published"]


def test_the_settings_are_told_as_before():
    """What the step is given and its journal is keyed by: a setting that was added and is not used is not in it."""
    assert json.loads(section_json(published(), "proxies")) == SETTINGS


@pytest.fixture
def drawn(stable_diffusion, checkpoints, tmp_path, numbers):
    """(generator, plan, its noise, what the generator draws) with the published settings, at 64 pixels."""
    settings = published().proxies.model_copy(update={"width": 64, "height": 64, "device": "cpu"})
    files = {"generator": stable_diffusion, "migc": checkpoints / "migc.ckpt", "vision": checkpoints / "vision"}
    files |= {"elite_global": checkpoints / "global.pt", "elite_local": checkpoints / "local.pt"}
    generator = MIGCGenerator(settings, {role: load_manifest(path) for role, path in files.items()})
    pixels = ((numbers("picture", 48, 64, 3) + 1) * 127).to(torch.uint8).numpy()
    Image.fromarray(pixels).save(tmp_path / "reference.png")
    mask = {"size": [48, 64], "counts": "U?S1=" + "0" * 77 + "kd0"}
    cat = Instance("a cat", "cat", (0.1, 0.2, 0.6, 0.9), from_image=True, mask=mask)
    dog = Instance("a red dog", "dog", (0.4, 0.05, 0.95, 0.7))
    task = Task("q", "with a dog", "a garden", (cat, dog), (3, 2**40 + 11), tmp_path / "reference.png")
    pipeline, kept = generator.pipeline, {}
    decode, make = pipeline.decode, pipeline.plan
    pipeline.decode = lambda latents: decode(kept.setdefault("latents", latents))
    pipeline.plan = lambda *args: kept.setdefault("plan", make(*args))
    kept["images"], notes = generator.draw(task)
    assert notes["drawn_from"] == {"0": "mask"}
    return generator, kept


def test_the_loop_is_the_published_one(drawn):
    """Bit for bit, against the loop written out."""
    generator, kept = drawn
    pipeline, plan, text = generator.pipeline, kept["plan"], kept["plan"].text[:1].expand(4, -1, -1)
    stage, unet = pipeline.stage, pipeline.unet
    scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.set_timesteps(50)
    sources = [torch.Generator("cpu").manual_seed(seed) for seed in (3, 2**40 + 11)]
    latents = torch.stack([torch.randn(4, 8, 8, generator=source) for source in sources]) * scheduler.init_noise_sigma
    stage.plan, stage.twins = plan, True
    with torch.no_grad():
        for stage.step, time in enumerate(scheduler.timesteps):
            stage.migc = stage.step <= 25
            scaled = scheduler.scale_model_input(latents, time)
            first, second = unet(torch.cat([scaled, scaled]), time, encoder_hidden_states=text).sample.chunk(2)
            latents = scheduler.step(first + 7.5 * (second - first), time, latents, return_dict=False)[0]
    assert stage.fuser_steps == 50 and stage.published_gate and stage.local_weight == 0.5
    assert torch.equal(latents, kept["latents"]) and latents.abs().max() > 1


def test_the_images_are_those_recorded(drawn):
    """tests/data/published_run.safetensors: latents and images of the code before samplers could be chosen."""
    recorded, (_, kept) = load_file(RECORDED), drawn
    scale = recorded["latents"].abs().max()
    assert (kept["latents"] - recorded["latents"]).abs().max() <= 1e-3 * scale
    images = torch.from_numpy(np.stack([np.asarray(image) for image in kept["images"]]))
    assert (images.int() - recorded["images"].int()).abs().max() <= 1
