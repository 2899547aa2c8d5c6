"""Proxies drawn from target captions: image n from caption n, without a layout."""

import json

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image

from ipcir_steps.cli import main
from ipcir_steps.core.devices import noise_sources
from ipcir_steps.core.files import read_jsonl, write_jsonl

SETTINGS = {
    "generator": "text_to_image", "prompt": "target_captions", "width": 64, "height": 64, "steps": 2, "count": 3,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture
def draw(world, stable_diffusion):
    """A function that draws from target captions, without layouts, and gives the exit code."""
    captions = {"q0": ["a red dog", "a blue dog"], "q1": ["two cats"]}
    write_jsonl(world / "target_captions.jsonl", [{"query_id": q, "captions": c} for q, c in captions.items()])
    (world / "layouts.jsonl").unlink()

    def run(*more, name="drawn", **settings):
        words = ["proxies", "--queries", world / "queries.jsonl", "--references", world / "references.jsonl"]
        words += ["--root", world, "--models", f"generator={stable_diffusion}", "--images", world / name]
        words += ["--output", world / f"{name}.jsonl", "--settings", json.dumps(SETTINGS | settings), *more]
        return main(list(map(str, words)))

    return run


def test_each_image_is_drawn_from_its_caption(draw, world, stable_diffusion):
    """Held against diffusers' own pipeline; a query without target captions is a failure."""
    assert draw("--captions", world / "target_captions.jsonl") == 0
    first, second, third = read_jsonl(world / "drawn.jsonl")
    texts = ["a red dog", "a blue dog", "a red dog"]
    assert first["prompts"] == texts and second["prompts"] == ["two cats"] * 3
    assert third["failure"] == "no target captions"
    pipeline = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
    negative = ["worst quality, low quality, bad anatomy"] * 3
    drawn = pipeline(
        texts, negative_prompt=negative, num_inference_steps=2, guidance_scale=7.5, width=64, height=64,
        generator=noise_sources(first["seeds"]),
    ).images  # fmt: skip
    for name, image in zip(first["images"], drawn, strict=True):
        assert np.array_equal(np.asarray(Image.open(world / "drawn" / name)), np.asarray(image))


def test_another_caption_draws_its_query_again(draw, world):
    given = "--captions", world / "target_captions.jsonl"
    assert draw(*given) == 0
    before = {record["query_id"]: record["sha256"] for record in read_jsonl(world / "drawn.jsonl")[:2]}
    records = read_jsonl(world / "target_captions.jsonl")
    records[0]["captions"] = ["a green dog"]
    write_jsonl(world / "target_captions.jsonl", records)
    (world / "drawn.jsonl").unlink()
    assert draw(*given) == 0
    after = {record["query_id"]: record["sha256"] for record in read_jsonl(world / "drawn.jsonl")[:2]}
    assert after["q1"] == before["q1"] and not set(after["q0"]) & set(before["q0"])


def test_captions_are_needed(draw, capsys):
    assert draw() == 2
    assert "--captions" in capsys.readouterr().err
