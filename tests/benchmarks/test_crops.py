"""The objects of GeneCIS' attribute tasks."""

import argparse

import numpy as np
import PIL.Image
import pytest

from ipcir_steps.benchmarks import crops, datasets
from ipcir_steps.config.data import Dataset, Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.runtime import preflight
from tests.benchmarks import layouts


def run(*words):
    parser = argparse.ArgumentParser()
    crops.arguments(parser)
    crops.main(parser.parse_args(words))


def grid(width=40, height=30):
    """A picture whose red and green tell column and row."""
    rows, columns = np.mgrid[0:height, 0:width]
    return PIL.Image.fromarray(np.stack([columns, rows, np.full_like(rows, 200)], -1).astype(np.uint8))


def test_a_box_grows_within_the_picture_and_becomes_square():
    made = np.asarray(crops.cut(grid(), [20, 10, 10, 5]))
    # left 20 - 7 = 13, right 13 + 17 = 30, top 10 - 3.5 = 6.5, bottom 6.5 + 8.5 = 15; 6.5 is rounded to 6
    assert made.shape == (17, 17, 3)
    seen = made[made[..., 2] == 200]
    assert (seen[:, 0].min(), seen[:, 0].max()) == (13, 29) and (seen[:, 1].min(), seen[:, 1].max()) == (6, 14)
    assert not made[0].any() and not made[-1].any()  # black bars above and below


def test_a_box_at_the_border_is_cut_there():
    made = np.asarray(crops.cut(grid(), [0, 0, 40, 30]))
    assert made.shape == (40, 40, 3) and (made[5:35, :, 2] == 200).all() and not made[:5].any()


@pytest.mark.parametrize("box", [[44, 0, 5, 5], [100, 0, 5, 5], [0, 34, 5, 5], [3, 3, 0.1, 9]])
def test_a_box_without_a_pixel_is_refused(box):
    with pytest.raises(InputError, match=r"x.jpg: has 40 x 30 pixels, none of which is in the box \["):
        crops.cut(grid(), box, "x.jpg")


def test_every_image_of_the_annotations_is_made_once(tmp_path):
    root = layouts.genecis(tmp_path)
    run("--root", str(root))
    made = sorted((root / "crops").iterdir())
    first = {path: path.stat().st_mtime_ns for path in made}
    data = datasets.load(Source(benchmark="genecis", root=str(root)), "all")
    assert all((root / image.path).is_file() for image in (*data.gallery, *data.references))
    made[0].unlink()
    run("--root", str(root))
    again = {path: path.stat().st_mtime_ns for path in made}
    assert {path for path in made if first[path] != again[path]} == {made[0]}


def test_a_missing_image_is_named(tmp_path):
    root = layouts.genecis(tmp_path)
    (root / "VG_100K/3.jpg").unlink()
    with pytest.raises(InputError, match=r"3.jpg: record 3: the image is missing. Put Visual Genome"):
        run("--root", str(root))


def test_damaged_annotations_are_told(tmp_path):
    root = layouts.genecis(tmp_path)
    layouts.write(root / "genecis/focus_attribute.json", [{"target": {}, "gallery": []}])
    with pytest.raises(InputError, match=r"focus_attribute.json: record 0: field 'reference': is missing"):
        run("--root", str(root))


def test_before_a_run_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layouts.genecis(tmp_path / "data/GeneCIS")
    settings = Dataset(
        benchmark="genecis", root="data/GeneCIS", exclude_reference=False, split="all", **{"lambda": 0.5}
    )
    (need,) = preflight.of_dataset("genecis", settings, "all")
    assert "7 of 14 images of all are not in data/GeneCIS (crops/" in need.what
    assert "with `ipcir crops --root data/GeneCIS`" in need.remedy and need.stops
    run("--root", "data/GeneCIS")
    assert not [*preflight.of_dataset("genecis", settings, "all")]
