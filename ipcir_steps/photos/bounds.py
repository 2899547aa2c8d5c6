"""How large a picture may be that is opened, whatever its file claims."""

from pathlib import Path

import PIL.Image

from ipcir_steps.core.errors import InputError


def check_size(width: int, height: int, path: Path | None = None) -> None:
    """Raises InputError for more pixels than ``pictures.prepare`` allows. path: the file, for the message."""
    most = PIL.Image.MAX_IMAGE_PIXELS
    if most and width * height > most:
        raise InputError(
            f"has {width} x {height} pixels, more than {most / 1e6:g} megapixels", file=path,
            remedy="Raise --megapixels.",
        )  # fmt: skip
