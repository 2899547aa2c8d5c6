"""Small pictures of a page."""

import io
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import used


def small(path: Path, pixels: int, below: Path | None = None) -> tuple[bytes, str] | None:
    """(bytes, ``png`` or ``jpeg``) of a picture whose longer side has at most ``pixels``; None where it cannot be read.

    Small pictures stay exact, photographs become JPEG. below: the directory that the record names it of.
    """
    from ipcir_steps.core.images import open_rgb

    try:
        image = open_rgb(used(path, below))
    except InputError:
        return None
    kind = "png" if max(image.size) <= pixels else "jpeg"
    image.thumbnail((pixels, pixels))
    stream = io.BytesIO()
    image.save(stream, format=kind, **({} if kind == "png" else {"quality": 82}))
    return stream.getvalue(), kind
