"""Opening images: any mode becomes RGB, anything unreadable becomes one clear error."""

import warnings
from pathlib import Path

import PIL.Image
import PIL.ImageOps

from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.files import inside
from ipcir_steps.core.records import Image

UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    PIL.Image.DecompressionBombWarning,
    PIL.Image.DecompressionBombError,
)


def decode(path: str | Path) -> PIL.Image.Image:
    """Decode fully, in the file's own mode, upright by EXIF, 16-bit greys as 8-bit: what every step sees.

    Raises InputError for a missing, empty, truncated or otherwise unreadable file.
    """
    try:
        with warnings.catch_warnings(), PIL.Image.open(path) as image:
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            image.load()
            image = PIL.ImageOps.exif_transpose(image)
            return _eight_bit(image) if image.mode in ("I", "I;16", "I;16B", "I;16L", "F") else image
    except FileNotFoundError:
        raise InputError("the image is missing", file=path) from None
    except UNREADABLE as error:
        raise InputError(
            f"the image cannot be read ({error})",
            file=path,
            remedy="Replace it, or set missing_images: skip for the dataset.",
        ) from error


def open_rgb(path: str | Path) -> PIL.Image.Image:
    """``decode`` as 8-bit RGB (from CMYK, grey, palette; alpha on white)."""
    image = decode(path)
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def scaled(image: PIL.Image.Image, longest: int) -> PIL.Image.Image:
    """A copy whose longer side has at most ``longest`` pixels: as every chat model and language model is shown it."""
    image = image.copy()
    image.thumbnail((longest, longest), PIL.Image.Resampling.BICUBIC)
    return image


def _eight_bit(image: PIL.Image.Image) -> PIL.Image.Image:
    """16-bit greys to 8 bits by their high byte; PIL alone would clip them to white."""
    import numpy as np

    return PIL.Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))


def load_image(root: Path, image: Image):
    """The image in RGB, upright. Raises StepFailure when it cannot be read."""
    path = inside(root, image.path, record=image.name, field="path")
    try:
        return open_rgb(path)
    except InputError as error:
        raise StepFailure(f"image {image.path} cannot be read ({error.problem})") from error


def probe(root: Path, image: Image) -> tuple[int, int]:
    """(width, height) in pixels of an image that decodes. Raises InputError."""
    return open_rgb(inside(root, image.path, record=image.name, field="path")).size
