"""The other generators with their real classes, and the acceptance check with a real detector."""

import json

import torch
from diffusers import (
    StableDiffusionGLIGENPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image

from ipcir_steps.cli import main
from ipcir_steps.files import read_jsonl, write_json
from ipcir_steps.proxies.acceptance import found_all

SMALL = {"width": 64, "height": 64, "steps": 2, "count": 2, "device": "cpu"}


def run(world, model, *more, name="index", **settings):
    words = ["proxies", "--queries", world / "queries.jsonl", "--layouts", world / "layouts.jsonl", "--model", model]
    words += ["--references", world / "references.jsonl", "--root", world, "--images", world / name]
    words += ["--output", world / f"{name}.jsonl", "--settings", json.dumps({**SMALL, **settings}), *more]
    assert main([str(word) for word in words]) == 0
    return read_jsonl(world / f"{name}.jsonl")


def variant(stable_diffusion, directory, kind, **config):
    """The tiny Stable Diffusion with another U-Net, saved as another pipeline class."""
    base = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
    torch.manual_seed(3)
    unet = UNet2DConditionModel.from_config({**base.unet.config, **config})
    parts = {**base.components, "unet": unet}
    parts = {k: v for k, v in parts.items() if k != "image_encoder" or kind is not StableDiffusionGLIGENPipeline}
    kind(**parts, requires_safety_checker=False).save_pretrained(directory)
    return directory


def test_gligen(world, stable_diffusion, tmp_path):
    model = variant(stable_diffusion, tmp_path / "gligen", StableDiffusionGLIGENPipeline, attention_type="gated")
    first, second, third = run(world, model, generator="gligen")
    assert first["images"] == ["q0/0.png", "q0/1.png"] and "failure" in third
    layouts = read_jsonl(world / "layouts.jsonl")
    assert len(layouts[1]["instances"]) == 2
    alone = run(world, model, generator="gligen", name="alone", proxies_per_batch=1)
    for name in second["images"]:
        pair = [torch.tensor(list(Image.open(world / d / name).tobytes())).int() for d in ("index", "alone")]
        assert (pair[0] - pair[1]).abs().max() <= 1
    assert alone[1]["seeds"] == second["seeds"]


def test_image_editing(world, stable_diffusion, tmp_path):
    model = variant(stable_diffusion, tmp_path / "edit", StableDiffusionInstructPix2PixPipeline, in_channels=8)
    first = run(world, model, generator="image_editing")[0]
    assert first["prompt"] == "with a dog instead"
    Image.new("RGB", (64, 48), "red").save(world / "images" / "a.png")
    again = run(world, model, generator="image_editing", name="other")[0]
    assert not set(first["sha256"]) & set(again["sha256"])


def test_enriched_boxes_are_recorded(world, stable_diffusion):
    write_json(world / "statistics.json", {"cat": {"length_mean": 0.2, "aspect_ratio_mean": 1.5}})
    record = run(world, stable_diffusion, statistics=str(world / "statistics.json"))[0]
    assert len(record["boxes"]) == 1 and record["boxes"][0] != [0.1, 0.2, 0.6, 0.9]


def test_greedy_matching_uses_a_detection_once():
    box = (0.1, 0.1, 0.5, 0.5)
    assert found_all([box], [(0.12, 0.1, 0.5, 0.5)], 0.25)
    assert not found_all([box, box], [(0.12, 0.1, 0.5, 0.5)], 0.25)
    assert not found_all([box], [(0.4, 0.4, 0.9, 0.9)], 0.25)
    assert not found_all([box], [], 0.25)


def test_grid(world, stable_diffusion):
    from ipcir_steps.proxies import grid

    run(world, stable_diffusion)
    words = []
    for name, path in {
        "queries": "queries.jsonl",
        "layouts": "layouts.jsonl",
        "references": "references.jsonl",
    }.items():
        words += [f"--{name}", str(world / path)]
    words += ["--root", str(world), "--index", str(world / "index.jsonl"), "--images", str(world / "index")]
    grid.main([*words, "--output", str(world / "grid.png"), "--cell", "64"])
    picture = Image.open(world / "grid.png")
    assert picture.size == (4 * 68 + 4, 2 * 82 + 4)
    proxy = Image.open(world / "index" / "q1" / "1.png")
    left, top = 4 + 3 * 68, 82 + 14
    assert picture.crop((left, top, left + 64, top + 64)).tobytes() == proxy.convert("RGB").tobytes()
