"""What the tests of several steps of imagination share."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from ipcir_steps.core.records import Image, write_records
from mini_world import models


def noise_references(directory: Path, count: int, width: int, height: int) -> None:
    """``references.jsonl`` of pictures of noise, ``image0`` to ``image{count - 1}``; the fourth is cut off."""
    generator = np.random.default_rng(0)
    images = [Image(f"image{n}", f"{n}.png") for n in range(count)]
    for image in images:
        pixels = generator.integers(0, 255, (height, width, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(directory / image.path)
    (directory / "3.png").write_bytes((directory / "3.png").read_bytes()[:100])
    write_records(directory / "references.jsonl", images)


@pytest.fixture(scope="session")
def blip2(tmp_path_factory) -> Path:
    """A tiny untrained BLIP-2."""
    import torch

    directory = tmp_path_factory.mktemp("blip2") / "model"
    torch.manual_seed(0)
    models.blip2(directory)
    return directory
