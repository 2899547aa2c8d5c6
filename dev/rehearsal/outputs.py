"""What a step wrote, in a few words: rows, shapes, sizes of pictures."""

import json
from pathlib import Path

from PIL import Image


def describe(path: Path) -> str:
    if path.is_dir():
        return ", ".join(f"{file.stem}: {lines(file)}" for file in sorted(path.glob("*.jsonl")))
    if path.suffix == ".safetensors":
        return shape(path)
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return f"{pyarrow.parquet.read_metadata(path).num_rows} rows"
    if path.suffix == ".jsonl":
        return "; ".join(record(json.loads(line), path.parent) for line in path.read_text().splitlines()[:1])
    return f"{path.stat().st_size:,} bytes"


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def shape(path: Path) -> str:
    with open(path, "rb") as file:
        found = json.loads(file.read(int.from_bytes(file.read(8), "little")))["features"]
    return f"{found['dtype']} {' x '.join(map(str, found['shape']))}"


def record(content: dict, directory: Path) -> str:
    """Of one query or reference."""
    if "failure" in content:
        return f"failure: {content['failure']}"
    if "captions" in content:
        return f"{len(content['captions'])} captions, {sum(map(len, content['captions']))} characters"
    if "instances" in content:
        return f"{len(content['instances'])} instances"
    if "masks" in content:
        return ", ".join("mask " + " x ".join(map(str, mask["rle"]["size"])) if "rle" in mask else mask["reason"]
                         for mask in content["masks"])  # fmt: skip
    with Image.open(directory / content["images"][0]) as image:
        return f"{len(content['images'])} images {image.width} x {image.height}, drawn from {content.get('drawn_from')}"
