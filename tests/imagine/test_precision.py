"""Half precision with the real classes and the mini world's trained models: nearly the same results."""

import random

import pytest

from ipcir_steps.config.vision import Captions, Masks
from ipcir_steps.core.masks import decode_rle
from ipcir_steps.imagine import captions, masks
from mini_world import models as mini
from mini_world.render import draw
from mini_world.shipped import SHIPPED
from mini_world.world import random_scene

HALF = ["float16", "bfloat16"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("trained")
    for name in ("blip2", "grounding_dino", "sam"):
        mini.BUILDERS[name](directory / name, SHIPPED)
    return directory


@pytest.fixture(scope="module")
def scenes():
    rng = random.Random(3)
    return [random_scene(rng) for _ in range(6)]


@pytest.mark.parametrize("dtype", HALF)
def test_masks_hardly_depend_on_the_number_format(trained, scenes, dtype):
    models = trained / "grounding_dino", trained / "sam"
    whole, half = (masks.segmenter(*models, Masks(box_threshold=0.2, dtype=name)) for name in ("float32", dtype))
    agreement = []
    for scene in scenes:
        expected, found = whole(draw(scene), scene.things[0].shape), half(draw(scene), scene.things[0].shape)
        assert ("rle" in expected) == ("rle" in found)
        if "rle" in found:
            one, other = decode_rle(expected["rle"]) > 0, decode_rle(found["rle"]) > 0
            agreement.append((one & other).sum() / (one | other).sum())
            assert found["score"] == pytest.approx(expected["score"], abs=0.02)
    assert len(agreement) >= 3 and sum(agreement) / len(agreement) > 0.95


@pytest.mark.parametrize("dtype", HALF)
def test_captions_are_written_in_half_precision(trained, scenes, dtype):
    settings = Captions(count=2, max_new_tokens=30, nucleus=False, beams=2, dtype=dtype)
    caption = captions.captioner(trained / "blip2", settings)
    expected = captions.captioner(trained / "blip2", settings.model_copy(update={"dtype": "float32"}))
    same = sum(caption(draw(scene), 0)[0] == expected(draw(scene), 0)[0] for scene in scenes)
    assert same >= 3
