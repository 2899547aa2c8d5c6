"""Proxy images on disk: written whole, the same pixels always give the same bytes, checked before reuse."""

from pathlib import Path

from PIL import Image

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import atomic, inside, sha256


def name_of(query_id: str, number: int) -> str:
    return f"{query_id}/{number}.png"


def save(image: Image.Image, root: Path, name: str) -> str:
    """Write an RGB PNG without metadata; return its sha256."""
    path = inside(root, name, field="query_id")
    for leftover in path.parent.glob(f".{path.name}.*"):  # of a killed run
        leftover.unlink()
    clean = Image.frombytes("RGB", image.size, image.convert("RGB").tobytes())
    with atomic(path) as temporary:
        clean.save(temporary, format="PNG", compress_level=6)
    return sha256(path)


def intact(record: dict, root: Path) -> bool:
    """Whether every image of an index record is there, byte for byte. A recorded failure counts as intact."""
    if "failure" in record:
        return True
    try:
        return all(
            sha256(inside(root, name)) == expected
            for name, expected in zip(record["images"], record["sha256"], strict=True)
        )
    except (OSError, InputError):
        return False
