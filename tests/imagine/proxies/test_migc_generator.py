"""``--generator migc`` from the command line: references, masks, sharding, bad input."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from ipcir_steps.cli import main
from ipcir_steps.core.files import read_jsonl, write_jsonl
from ipcir_steps.core.masks import box_of, into_box

SMALL = {"generator": "migc", "width": 64, "height": 64, "steps": 2, "count": 2, "device": "cpu", "migc_steps": 0}


@pytest.fixture
def run(world, stable_diffusion, checkpoints):
    mask = np.zeros((48, 64))
    mask[5:40, 10:50] = 1
    masks = [{"instance": 0, "category": "cat", "rle": encoded(mask)}]
    write_jsonl(world / "masks.jsonl", [{"query_id": "q0", "masks": masks}])
    models = {
        "generator": stable_diffusion,
        "migc": checkpoints / "migc.ckpt",
        "elite_global": checkpoints / "global.pt",
    }
    models |= {"elite_local": checkpoints / "local.pt", "vision": checkpoints / "vision"}

    def run(name="proxies", shard="0/1", without=(), migc="migc.ckpt", **settings):
        models["migc"] = checkpoints / migc
        words = ["proxies", "--queries", world / "queries.jsonl", "--layouts", world / "layouts.jsonl"]
        words += ["--masks", world / "masks.jsonl", "--references", world / "references.jsonl", "--root", world]
        words += ["--images", world / name, "--output", world / f"{name}-{shard[0]}.jsonl", "--shard", shard]
        words += ["--settings", json.dumps({**SMALL, **settings})]
        words += ["--models", *(f"{role}={path}" for role, path in models.items() if role not in without)]
        code = main([str(word) for word in words])
        return code, read_jsonl(world / f"{name}-{shard[0]}.jsonl") if code == 0 else None

    return run


def encoded(mask):
    code = rle.encode(np.asfortranarray(mask, np.uint8))
    return {"size": code["size"], "counts": code["counts"].decode()}


def files(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"), key=str)
        if path.is_file()
    }


@pytest.mark.parametrize("settings", [{}, {"merge_tokens": 0.5}])
def test_references_and_shards(run, world, settings):
    code, records = run(**settings)
    assert code == 0
    assert [record.get("drawn_from") for record in records] == [{"0": "mask"}, {"0": "whole image"}, None]
    assert set(records[0]["models"]) == {"generator", "migc", "elite_global", "elite_local", "vision"}
    parts = [record for part in range(2) for record in run("sharded", f"{part}/2", **settings)[1]]
    assert parts == records
    assert files(world / "sharded") == files(world / "proxies")


def test_an_instance_without_a_mask_may_be_drawn_as_text(run, world):
    """As the released code does; it is then the same image as without ELITE."""
    _, records = run(unmasked="text")
    assert [record.get("drawn_from") for record in records] == [{"0": "mask"}, {"0": "text"}, None]
    _, text = run("text", without=("elite_global", "elite_local", "vision"))
    assert records[1]["sha256"] == text[1]["sha256"] != run("whole")[1][1]["sha256"]


def test_reference_changes_the_image(run, world):
    _, records = run()
    Image.new("RGB", (64, 48), "red").save(world / "images" / "a.png")
    _, changed = run("changed")
    assert not set(records[0]["sha256"]) & set(changed[0]["sha256"])
    _, text = run("text", without=("elite_global", "elite_local", "vision"))
    assert text[0]["drawn_from"] == {"0": "text"}
    assert not set(records[0]["sha256"]) & set(text[0]["sha256"])


def test_half_precision(run, world):
    """bfloat16 draws nearly the float32 image: no number format is fixed anywhere on the way."""
    _, exact = run()
    run("rounded", dtype="bfloat16")
    for name in exact[0]["images"]:
        pair = [np.asarray(Image.open(world / directory / name), int) for directory in ("proxies", "rounded")]
        assert 0 < np.abs(pair[0] - pair[1]).mean() < 12


def test_missing_reference_is_recorded(run, world):
    (world / "images" / "a.png").unlink()
    code, records = run()
    assert code == 0
    assert "reference image a.png cannot be read" in records[0]["failure"]


def test_many_instances_are_recorded(run, world):
    layouts = read_jsonl(world / "layouts.jsonl")
    layouts[0]["instances"] = layouts[1]["instances"][1:] * 29
    layouts[1]["instances"] = []
    write_jsonl(world / "layouts.jsonl", layouts)
    _, records = run(count=1)
    assert "29 instances" in records[0]["failure"]
    assert records[1]["images"] == ["q1/0.png"]


def test_silhouettes_in_place_of_boxes(run, world):
    """MIGC++ draws the instance with a reference mask into its silhouette; the others keep their boxes."""
    disc = encoded(np.hypot(*np.mgrid[-24:24, -32:32]) < 15)
    masks = [{"query_id": "q0", "masks": [{"instance": 0, "category": "cat", "rle": disc}]}]
    write_jsonl(world / "masks.jsonl", masks)
    _, boxes = run(migc="migc++.ckpt")
    _, regions = run("silhouettes", migc="migc++.ckpt", regions="reference_mask")
    assert "regions" not in boxes[0] and regions[0]["regions"] == {"0": "reference mask"}
    assert not set(boxes[0]["sha256"]) & set(regions[0]["sha256"])
    assert regions[1]["sha256"] == boxes[1]["sha256"] and "regions" not in regions[1]


def test_regions_of_the_layout(run, world):
    """A layout may say where an instance goes by a mask; one as large as its box is the same as the box."""
    _, boxes = run(migc="migc++.ckpt")
    layouts = read_jsonl(world / "layouts.jsonl")
    filled, disc = np.zeros((64, 64)), np.hypot(*np.mgrid[-32:32, -32:32]) < 20
    filled[int(64 * 0.2) : int(64 * 0.9), int(64 * 0.1) : int(64 * 0.6)] = 1
    layouts[0]["instances"][0]["region"] = encoded(filled)
    layouts[1]["instances"][0]["region"] = encoded(disc)
    write_jsonl(world / "layouts.jsonl", layouts)
    _, regions = run("regions", migc="migc++.ckpt")
    assert regions[0]["regions"] == {"0": "layout"}
    assert regions[0]["sha256"] == boxes[0]["sha256"]
    assert not set(regions[1]["sha256"]) & set(boxes[1]["sha256"])
    _, refused = run("refused")
    assert "instance 0 has a region; MIGC takes boxes only" in refused[0]["failure"]
    del layouts[0]["instances"][0]["box"]
    layouts[1]["instances"][0]["region"] = {"size": [64, 64], "counts": 5}
    write_jsonl(world / "layouts.jsonl", layouts)
    _, again = run("again", migc="migc++.ckpt")
    assert "failure" not in again[0]
    assert "instance 0: region is not a COCO RLE" in again[1]["failure"]


def test_an_empty_mask_counts_as_none(run, world):
    masks = [{"query_id": "q0", "masks": [{"instance": 0, "category": "cat", "rle": encoded(np.zeros((48, 64)))}]}]
    write_jsonl(world / "masks.jsonl", masks)
    assert run()[1][0]["drawn_from"] == {"0": "whole image"}


def test_a_silhouette_fills_its_box():
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 5:35] = 1
    mask[10:15, 5:20] = 0
    moved = into_box(mask, (0.25, 0.5, 0.75, 1.0), 64, 64)
    assert box_of(moved) == (0.25, 0.5, 0.75, 1.0)
    assert moved[32:48, 16:32].sum() == 0 and moved[48:, 16:48].all() and moved[32:48, 32:48].all()
    assert not into_box(mask * 0, (0.25, 0.5, 0.75, 1.0), 64, 64).any()
    assert not into_box(mask, (0.5, 0.5, 0.501, 0.501), 64, 64).any()


def test_mask_of_another_size_is_recorded(run, world):
    Image.new("RGB", (30, 30)).save(world / "images" / "a.png")
    _, records = run()
    assert "the mask is (64, 48), its reference image (30, 30)" in records[0]["failure"]


@pytest.mark.parametrize(
    ("settings", "without", "message"),
    [
        ({"fuser_steps": 0}, (), "fuser_steps"),
        ({}, ("migc",), "migc=MANIFEST"),
        ({}, ("vision",), "vision=MANIFEST"),
        ({"regions": "reference_mask"}, (), "needs MIGC++"),
        ({"published_gate": True, "guidance": 1.0}, (), "is not computed without guidance"),
        ({"steps": 1}, (), "one step would start where hardly any noise is left"),
    ],
)
def test_bad_settings(run, capsys, settings, without, message):
    assert run(without=without, **settings)[0] == 2
    assert message in capsys.readouterr().err
