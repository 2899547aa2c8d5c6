"""One to four steps through text-to-image: SD-Turbo's and FLUX.1-schnell's own samplers, and chosen ones."""

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, FluxPipeline, LCMScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.devices import noise_sources
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.generator import Task, load_generator
from tests.hub.pipelines import DRAWING

TASK = Task("q", "", "a garden", (), (3, 11))


@pytest.fixture(scope="module")
def turbo(stable_diffusion, tmp_path_factory):
    """As SD-Turbo is laid out: Euler with trailing spacing."""
    pipeline = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
    pipeline.scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    )
    directory = tmp_path_factory.mktemp("turbo") / "sd"
    pipeline.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def schnell(stable_diffusion, tmp_path_factory):
    """As FLUX.1-schnell: its transformer takes no guidance scale."""
    directory = tmp_path_factory.mktemp("schnell") / "flux"
    torch.manual_seed(2)
    DRAWING["flux"](CLIPTokenizer.from_pretrained(stable_diffusion / "tokenizer"), directory)
    pipeline = FluxPipeline.from_pretrained(directory)
    pipeline.transformer = type(pipeline.transformer).from_config(
        {**pipeline.transformer.config, "guidance_embeds": False}
    )
    pipeline.save_pretrained(directory)
    return directory


def drawn(directory, **settings):
    given = {"width": 64, "height": 64, "guidance": 0.0, "device": "cpu", **settings}
    generator = load_generator(Proxies(**given), {"generator": load_manifest(directory)})
    images, _ = generator.draw(TASK)
    return np.stack([np.asarray(image) for image in images]).astype(int)


def direct(pipeline, steps, **given):
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline("a garden", num_images_per_prompt=2, generator=noise_sources(TASK.seeds), guidance_scale=0.0,
                      num_inference_steps=steps, width=64, height=64, **given).images  # fmt: skip
    return np.stack([np.asarray(image) for image in images]).astype(int)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_turbo_and_schnell_draw_as_their_own_pipelines(turbo, schnell, steps):
    for directory, kind in ((turbo, StableDiffusionPipeline), (schnell, FluxPipeline)):
        ours, theirs = drawn(directory, steps=steps), direct(kind.from_pretrained(directory), steps)
        assert np.abs(ours - theirs).max() <= 1 and theirs.std() > 1


def test_a_sampler_that_is_chosen_replaces_the_pipelines_own(turbo):
    pipeline = StableDiffusionPipeline.from_pretrained(turbo)
    config = {key: pipeline.scheduler.config[key] for key in ("beta_start", "beta_end", "beta_schedule")}
    pipeline.scheduler = LCMScheduler(**config)
    ours = drawn(turbo, steps=4, scheduler="lcm")
    assert np.abs(ours - direct(pipeline, 4)).max() <= 1
    assert np.abs(ours - drawn(turbo, steps=4)).max() > 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheduler": "lcm"}, "whose flow lcm does not sample"),
        ({"reuse_every": 2}, "is for generator migc alone"),
        ({"guidance_until": 0.5}, "is for generator migc alone"),
        ({"spacing": "trailing"}, "has noise levels of its own"),
    ],
)
def test_settings_that_would_be_ignored(schnell, settings, message):
    with pytest.raises(InputError, match=message):
        drawn(schnell, **settings)
