"""The captioner learns, goes on where it was stopped, and names what held-out pictures show."""

import json
import random

import numpy as np
import pytest
import torch

from mini_world import language, models, render, shipped, world
from mini_world.training import captioner, pool
from mini_world.training.loop import train


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Pictures of a small pool that stands for the whole one."""
    pairs = pool.pairs(3, 40)
    monkeypatch.setattr(pool, "pairs", lambda seed, count=40: pairs)
    monkeypatch.setattr(pool, "HELD_OUT", 10)
    return pool.rendered(3, tmp_path / "pool.npy", count=40)


@pytest.mark.slow
def test_a_short_training_lowers_the_loss_and_a_stopped_one_ends_the_same(tmp_path, killed_and_resumed, images):
    def recipe():
        return captioner.recipe(images, seed=3, steps=60, batch=8)

    whole = train(recipe(), tmp_path / "whole", seed=3)
    curve = [json.loads(line) for line in (tmp_path / "whole/curve.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == [50, 60] and curve[1]["words"] < 0.8 * curve[0]["words"]

    again = killed_and_resumed(recipe, 3, 20)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_the_model_is_fed_as_generation_feeds_it():
    processor = models.captions_processor()
    picture = render.draw(world.random_scene(random.Random(0)))
    given = processor(images=picture, return_tensors="pt")["pixel_values"]
    ours = captioner.normalised(np.asarray(picture)[None], processor.image_processor)
    torch.testing.assert_close(given, ours)
    text = world.describe(world.random_scene(random.Random(1)))
    ids, labels = captioner.encode(processor.tokenizer, [text, "a grey background"])
    assert processor.tokenizer.decode(ids[0, language.QUERIES :]) == f"</s>{text}</s>"
    assert (ids[0, : language.QUERIES] == processor.tokenizer.convert_tokens_to_ids("<image>")).all()
    assert processor.tokenizer.decode(labels[1][labels[1] != -100]) == "a grey background</s>"


@pytest.mark.parametrize("seed", [4, 6, 9])  # scenes with both things on one side, so that a swap shows
def test_a_mirrored_picture_is_drawn_mirrored(seed):
    scene = world.random_scene(random.Random(seed), 2)
    swapped = captioner.mirrored(scene)
    assert captioner.mirrored(swapped) == scene and swapped.key() != scene.key()
    a, b = (np.asarray(render.draw(s), float) for s in (scene, swapped))
    assert np.abs(a[:, ::-1] - b).mean() < 0.5 * np.abs(a - b).mean()


def test_every_caption_is_understood():
    rng = random.Random(4)
    for _ in range(300):
        picture, other, _ = pool.pair(rng)
        assert captioner.parse(captioner.describe(picture, rng)) == picture.key() != other.key()
    assert captioner.parse("a small red star at the top left on a red background") is None
    assert captioner.parse("") is None


@pytest.mark.skipif(not (shipped.SHIPPED / "blip2.safetensors").is_file(), reason="no weights are shipped yet")
def test_the_shipped_captioner_names_what_held_out_pictures_show(tmp_path):
    models.blip2(tmp_path / "blip2", shipped.SHIPPED)
    figures = captioner.evaluate(tmp_path, seed=2025, count=40)
    assert figures["scenes"] >= 0.9 and figures["garments"] >= 0.9 and figures["wordings"] >= 2.5
