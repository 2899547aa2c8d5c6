"""What the tests of several steps of imagination share."""

from pathlib import Path

import numpy as np
import PIL.Image

from ipcir_steps.core.records import Image, write_records


def noise_references(directory: Path, count: int, width: int, height: int) -> None:
    """``references.jsonl`` of pictures of noise, ``image0`` to ``image{count - 1}``; the fourth is cut off."""
    generator = np.random.default_rng(0)
    images = [Image(f"image{n}", f"{n}.png") for n in range(count)]
    for image in images:
        pixels = generator.integers(0, 255, (height, width, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(directory / image.path)
    (directory / "3.png").write_bytes((directory / "3.png").read_bytes()[:100])
    write_records(directory / "references.jsonl", images)
