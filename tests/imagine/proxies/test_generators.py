"""The other generators with their real classes, and the acceptance check with a real detector."""

import json

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionGLIGENPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image, ImageColor
from pycocotools import mask as rle

from ipcir_steps.cli import main
from ipcir_steps.core.files import read_jsonl, write_json, write_jsonl
from ipcir_steps.imagine.proxies.acceptance import found_all

SMALL = {"width": 64, "height": 64, "steps": 2, "count": 2, "device": "cpu"}


def run(world, model, *models, name="index", **settings):
    words = ["proxies", "--queries", world / "queries.jsonl", "--layouts", world / "layouts.jsonl"]
    words += ["--references", world / "references.jsonl", "--root", world, "--images", world / name]
    words += ["--output", world / f"{name}.jsonl", "--settings", json.dumps({**SMALL, **settings})]
    assert main([str(word) for word in [*words, "--models", f"generator={model}", *models]]) == 0
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


def test_gligen_needs_a_gligen_model(world, stable_diffusion, capsys):
    words = ["proxies", "--queries", world / "queries.jsonl", "--layouts", world / "layouts.jsonl"]
    words += ["--models", f"generator={stable_diffusion}", "--images", world / "x", "--output", world / "x.jsonl"]
    words += ["--settings", json.dumps({**SMALL, "generator": "gligen"})]
    assert main([str(word) for word in words]) == 2
    assert "no gated attention" in capsys.readouterr().err


def test_image_editing(world, stable_diffusion, tmp_path):
    model = variant(stable_diffusion, tmp_path / "edit", StableDiffusionInstructPix2PixPipeline, in_channels=8)
    first = run(world, model, generator="image_editing")[0]
    assert first["prompt"] == "with a dog instead"
    Image.new("RGB", (64, 48), "red").save(world / "images" / "a.png")
    again = run(world, model, generator="image_editing", name="other")[0]
    assert not set(first["sha256"]) & set(again["sha256"])


def test_image_editing_needs_no_layouts(world, stable_diffusion, tmp_path):
    model = variant(stable_diffusion, tmp_path / "edit", StableDiffusionInstructPix2PixPipeline, in_channels=8)
    (world / "layouts.jsonl").unlink()
    words = ["proxies", "--queries", world / "queries.jsonl", "--models", f"generator={model}"]
    words += ["--references", world / "references.jsonl", "--root", world, "--images", world / "index"]
    settings = {**SMALL, "generator": "image_editing"}
    words += ["--output", world / "index.jsonl", "--settings", json.dumps(settings)]
    assert main([str(word) for word in words]) == 0
    assert [len(record["images"]) for record in read_jsonl(world / "index.jsonl")] == [2, 2, 2]


def test_layouts_are_asked_for_where_they_are_drawn(world, stable_diffusion, capsys):
    words = ["proxies", "--queries", world / "queries.jsonl", "--models", f"generator={stable_diffusion}"]
    words += ["--images", world / "x", "--output", world / "x.jsonl", "--settings", json.dumps(SMALL)]
    assert main([str(word) for word in words]) == 2
    assert "field '--layouts': is needed by generator text_to_image" in capsys.readouterr().err


CUSTOM = """
from PIL import Image

from ipcir_steps.config.base import Section


class Tinted:
    roles = ("generator", "depth")
    needs_layouts = needs_masks = False

    class Settings(Section):
        green: int = 0

    def __init__(self, settings, models, own):
        self.size, self.green = (settings.width, settings.height), own.green
        self.identity = {role: models[role].digest for role in self.roles}

    def draw(self, task):
        return [Image.new("RGB", self.size, (seed % 256, self.green, 0)) for seed in task.seeds], {}
"""


def test_a_custom_generator_gets_its_models_and_settings(world, stable_diffusion, tmp_path, monkeypatch, capsys):
    (tmp_path / "tinted_generator.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(str(tmp_path))
    depth = tmp_path / "depth.bin"
    depth.write_bytes(b"weights")
    mine = {"generator": "tinted_generator:Tinted", "settings": {"green": 200}}
    records = run(world, stable_diffusion, f"depth={depth}", **mine)
    assert [len(record["images"]) for record in records if "failure" not in record] == [2, 2]
    assert set(records[0]["models"]) == {"generator", "depth"}
    assert Image.open(world / "index/q0/0.png").getpixel((0, 0))[1] == 200
    words = ["proxies", "--queries", world / "queries.jsonl", "--images", world / "x", "--output", world / "x.jsonl"]
    for wrong, message in (
        ({**mine, "settings": {"gren": 1}}, "field 'gren'"),
        ({"generator": "directory", "directory": str(tmp_path), "settings": {"green": 1}}, "no settings of its own"),
    ):
        assert main([*map(str, words), "--settings", json.dumps({**SMALL, **wrong})]) == 2
        assert message in capsys.readouterr().err


def test_enriched_boxes_are_recorded(world, stable_diffusion):
    known = {"length_mean": 0.2, "length_std": 0.1, "aspect_ratio_mean": 0.5, "aspect_ratio_std": 0.1}
    write_json(world / "statistics.json", {"cat": known})
    record = run(world, stable_diffusion, statistics=str(world / "statistics.json"))[0]
    assert len(record["boxes"]) == 1 and record["boxes"][0] != [0.1, 0.2, 0.6, 0.9]


def test_greedy_matching_uses_a_detection_once():
    box = (0.1, 0.1, 0.5, 0.5)
    assert found_all([box], [(0.12, 0.1, 0.5, 0.5)], 0.25)
    assert not found_all([box, box], [(0.12, 0.1, 0.5, 0.5)], 0.25)
    assert not found_all([box], [(0.4, 0.4, 0.9, 0.9)], 0.25)
    assert not found_all([box], [], 0.25)


def test_grid(world, stable_diffusion):
    """Proxies are shown as they are, the instance's silhouette is outlined, and rows can be restricted."""
    from dev import proxy_grid as grid

    run(world, stable_diffusion)
    code = rle.encode(np.asfortranarray(np.pad(np.ones((16, 16), np.uint8), ((16, 16), (24, 24)))))
    mask = {"instance": 0, "rle": {"size": code["size"], "counts": code["counts"].decode()}}
    write_jsonl(world / "masks.jsonl", [{"query_id": "q1", "masks": [mask]}])
    files = {name: world / f"{name}.jsonl" for name in ("queries", "layouts", "references", "masks", "index")}
    words = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    words += ["--root", str(world), "--images", str(world / "index"), "--cell", "64"]
    grid.main([*words, "--output", str(world / "grid.png")])
    picture = Image.open(world / "grid.png")
    row = (picture.height - 2 * 20) // 2
    left, top = 12 + 3 * 70 + 12, 20 + 2 * row - 64 - 6
    proxy = Image.open(world / "index" / "q1" / "1.png")
    assert picture.crop((left, top, left + 64, top + 64)).tobytes() == proxy.convert("RGB").tobytes()
    blue = ImageColor.getrgb(grid.COLOURS[0])
    outlined = [picture.getpixel((12 + 70 + x, top + 8 + 24)) == blue for x in range(64)]
    assert outlined == [24 <= x < 26 or 38 <= x < 40 for x in range(64)]

    layouts = read_jsonl(world / "layouts.jsonl")
    layouts[0]["instances"][0]["modality"] = "text"
    write_jsonl(world / "layouts.jsonl", layouts)
    grid.main([*words, "--only-references", "--output", str(world / "less.jpg")])
    assert Image.open(world / "less.jpg").size == (picture.width, picture.height - row)
    (world / "index" / "q1" / "1.png").write_bytes(b"broken")
    with pytest.raises(SystemExit, match=r"q1/1.png cannot be read"):
        grid.main([*words, "--output", str(world / "none.png")])


def test_names_of_boxes_do_not_cover_each_other():
    from dev.proxy_grid import place_tag, touch

    taken = []
    for _ in range(6):
        taken.append(place_tag((10, 10, 60, 60), (40, 12), taken, 100))
        assert not any(touch(taken[-1], other) for other in taken[:-1])
    assert place_tag((90, 95, 99, 99), (40, 12), [], 100) == (60, 88, 100, 100)
