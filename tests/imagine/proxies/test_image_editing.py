"""Editing pipelines of diffusers, their real classes, tiny: one reference and one caption for all images of a query."""

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.devices import noise_sources
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.generator import Task, load_generator
from tests.hub.pipelines import EDITING

pytestmark = pytest.mark.usefixtures("small_references")
SCALED = ("kontext", "qwen_edit", "qwen_edit_plus")  # those that take true_cfg_scale


@pytest.fixture(scope="module", params=EDITING)
def model(request, stable_diffusion, tmp_path_factory):
    directory = tmp_path_factory.mktemp("editing") / request.param
    torch.manual_seed(5)
    EDITING[request.param](stable_diffusion, directory)
    return request.param, directory


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "reference.png"
    Image.linear_gradient("L").convert("RGB").resize((80, 64)).save(path)
    return Task("q", "with a dog instead", "", (), (3, 11), path)


def drawn(directory, task, **changes):
    """Images as an integer array of shape (seeds, height, width, 3)."""
    given = {"generator": "image_editing", "width": 64, "height": 64, "steps": 2, "device": "cpu", **changes}
    generator = load_generator(Proxies(**given), {"generator": load_manifest(directory)})
    images, notes = generator.draw(task)
    assert notes == {"prompt": task.caption}
    return np.stack([np.asarray(image) for image in images]).astype(int)


def direct(name, directory, task, **given):
    """The pipeline as its own documentation calls it: one image, one caption, one seed."""
    pipeline = DiffusionPipeline.from_pretrained(directory)
    pipeline.set_progress_bar_config(disable=True)
    if name == "instruct_pix2pix":
        given["image_guidance_scale"] = 1.5
    elif name == "kontext":
        given["max_area"] = 64 * 64
    if name != "instruct_pix2pix":
        given |= {"width": 64, "height": 64}
    if name != "klein":
        given["negative_prompt"] = Proxies().negative_prompt
    reference = task.open_reference().resize((64, 64))
    images = [
        pipeline(image=reference, prompt=task.caption, generator=noise_sources([seed]), **given).images[0]
        for seed in task.seeds
    ]
    return np.stack([np.asarray(image) for image in images]).astype(int)


def test_a_batch_is_what_single_calls_of_the_pipeline_give(model, task):
    name, directory = model
    settings = {"true_cfg_scale": 3.0} if name in SCALED else {}
    batch = drawn(directory, task, guidance=4.0, settings=settings)
    single = direct(name, directory, task, guidance_scale=4.0, num_inference_steps=2, **settings)
    assert batch.shape == (2, 64, 64, 3) and np.abs(batch - single).max() <= 1
    assert np.abs(batch[0] - batch[1]).max() > 8  # seeds

    changes = [{"steps": 3}]
    changes += [] if name.startswith("qwen") else [{"guidance": 9.0}]  # theirs is not distilled into the weights
    changes += [{"settings": {"true_cfg_scale": 9.0}}] if settings else []
    for change in changes:
        other = drawn(directory, task, **{"guidance": 4.0, "settings": settings, **change})
        assert np.abs(batch - other).max() > 1, change
    Image.new("RGB", (80, 64), "red").save(task.reference)
    assert np.abs(batch - drawn(directory, task, guidance=4.0, settings=settings)).max() > 1
