"""Box statistics from annotations in the COCO format."""

import numpy as np
import pytest

from ipcir_steps.cli import main
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.imagine.proxies.enrichment import read_statistics


@pytest.fixture
def annotations():
    boxes = [(1, [0, 0, 20, 40], 0), (1, [5, 5, 60, 40], 0), (1, [0, 0, 99, 99], 1), (2, [0, 0, 10, 0], 0)]
    return {
        "images": [{"id": 7, "width": 100, "height": 50}],
        "categories": [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}],
        "annotations": [
            {"image_id": 7, "category_id": category, "bbox": box, "iscrowd": crowd} for category, box, crowd in boxes
        ],
    }


def run(directory):
    files = ("--instances", directory / "instances.json", "--output", directory / "statistics.json")
    return main(["statistics", *map(str, files)])


def test_crowds_and_empty_boxes_are_left_out(tmp_path, annotations):
    write_json(tmp_path / "instances.json", annotations)
    assert run(tmp_path) == 0
    expected = {"length_mean": 0.4, "length_std": 0.2, "aspect_ratio_mean": 1.0, "aspect_ratio_std": 0.5}
    assert read_statistics(tmp_path / "statistics.json") == {"cat": pytest.approx(expected)}


def test_many_boxes_of_many_images(tmp_path):
    """Against numpy on the columns."""
    dice = np.random.default_rng(0)
    widths, sizes = dice.integers(100, 640, 50), dice.uniform(1, 90, (400, 2))
    images, kinds = dice.integers(0, 50, 400), dice.integers(0, 3, 400)
    write_json(
        tmp_path / "instances.json",
        {
            "images": [{"id": n, "width": int(width), "height": 9} for n, width in enumerate(widths)],
            "categories": [{"id": n, "name": f"kind {n}"} for n in range(3)],
            "annotations": [
                {"image_id": int(image), "category_id": int(kind), "bbox": [0, 0, *size]}
                for image, kind, size in zip(images, kinds, sizes.tolist(), strict=True)
            ],
        },
    )
    assert run(tmp_path) == 0
    found = read_json(tmp_path / "statistics.json")
    for n in range(3):
        rows = kinds == n
        length, ratio = sizes[rows, 0] / widths[images[rows]], sizes[rows, 0] / sizes[rows, 1]
        expected = [length.mean(), length.std(), ratio.mean(), ratio.std()]
        assert list(found[f"kind {n}"].values()) == pytest.approx(expected)


def test_a_record_that_refers_to_nothing_is_named(tmp_path, annotations, capsys):
    annotations["annotations"][1]["image_id"] = 8
    write_json(tmp_path / "instances.json", annotations)
    assert run(tmp_path) == 2
    assert "instances.json: record 1: is not in the COCO format" in capsys.readouterr().err


def test_without_the_annotations_it_says_where_they_come_from_and_go(tmp_path, capsys):
    assert run(tmp_path) == 2
    message = capsys.readouterr().err
    assert "instances.json: does not exist. Unpack instances_train2017.json" in message
    assert "https://cocodataset.org" in message and "data/COCO/annotations/instances_train2017.json" in message
    assert "proxies.statistics: null" in message
