"""Layouts that the published enrichment was run on; its answers are in tests/data/published_enrichment.safetensors."""

import zlib
from pathlib import Path

import numpy as np

from ipcir_steps.core.files import read_json

STATISTICS = {
    "narrow": {"length_mean": 0.15, "length_std": 0.2, "aspect_ratio_mean": 0.6, "aspect_ratio_std": 0.4},
    "wide": {"length_mean": 0.7, "length_std": 0.3, "aspect_ratio_mean": 1.9, "aspect_ratio_std": 1.3},
    "fixed": {"length_mean": 0.3, "length_std": 0.0, "aspect_ratio_mean": 0.5, "aspect_ratio_std": 0.0},
}


def synthetic() -> list[list[tuple]]:
    """60 layouts of 1-6 instances (category, box, size rating); a third of the categories are unknown."""
    source = np.random.Generator(np.random.PCG64(zlib.crc32(b"enrichment")))
    layouts = []
    for _ in range(60):
        layout = []
        for _ in range(source.integers(1, 7)):
            corner, side = source.random(2) * 0.7, 0.05 + source.random(2) * 0.9
            box = (*corner, *np.minimum(corner + side, 1.0))
            category = ("narrow", "wide", "fixed", "thing", "stuff", "other")[source.integers(6)]
            layout.append((category, tuple(float(value) for value in box), int(source.integers(1, 6))))
        layouts.append(layout)
    return layouts


def released(root) -> tuple[list[list[tuple]], dict]:
    """The 400 released layouts as they were before their enrichment (``obbox``), and the released COCO statistics."""
    directory = Path(root) / "CIRCO" / "released"
    layouts = []
    for value in read_json(directory / "test_layouts_first400.json").values():
        items = [item for item in value["layout"] if not item["is_scene"]]
        layouts.append([(item["cate"], tuple(item["obbox"]), published_rating(item["size"])) for item in items])
    return layouts, read_json(directory / "coco_box_statistics.json")


def published_rating(text: str) -> float:
    """Of a range such as 3-4 the published code takes the least digit, where the layouts step takes the middle."""
    try:
        return float(text)
    except ValueError:
        return float(next(digit for digit in "12345" if digit in text))
