"""Opening photos: all that PIL reads, HEIC and raw files where their libraries are installed, in bounded size."""

import contextlib
import io
import warnings
from pathlib import Path

import PIL.Image

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.images import UNREADABLE, decode, open_rgb
from ipcir_steps.photos import raw
from ipcir_steps.photos.bounds import check_size
from ipcir_steps.photos.files import RAW

MEGAPIXELS = 200  # of a picture that is opened; a few bytes can claim to be millions of pixels
# What PIL calls the kinds of pictures that are opened.
FORMATS = frozenset({"JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF"})
_TAKEN, _CHANGED, _EXIF = 36867, 306, 0x8769  # DateTimeOriginal, DateTime, the directory of the former
_INSTALL = "pip install 'ipcir[photos]'"


def prepare(megapixels: float = MEGAPIXELS) -> None:
    """Bound the size of pictures in this process, and let PIL read HEIC where pillow-heif is installed."""
    PIL.Image.MAX_IMAGE_PIXELS = int(megapixels * 1e6)
    warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # see ``kind_of``
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def opened(path: Path, content: bytes | None = None) -> PIL.Image.Image:
    """A photo upright, in its file's own mode, as every step sees it; of animations the first picture.

    content: the file's bytes, where they have been read. For a raw file see ``raw.picture``.
    Raises InputError with what is wrong.
    """
    if path.suffix.lower() in RAW:
        content = raw.picture(path)
    kind_of(path if content is None else io.BytesIO(content))
    try:
        return decode(path if content is None else io.BytesIO(content))
    except InputError as error:
        if path.suffix.lower() in (".heic", ".heif") and ".heic" not in PIL.Image.registered_extensions():
            raise InputError("HEIC pictures need pillow-heif", file=path, remedy=f"Install it: {_INSTALL}.") from error
        raise InputError(error.problem, file=path) from error


def kind_of(file) -> str | None:
    """What PIL calls the kind of a picture, None when it cannot tell. file: a path or a binary file.

    Raises InputError for a kind that is not opened, and for more pixels than ``prepare`` allows: warnings, which would
    tell it, are filtered for all threads together, and photos are read in several.
    """
    with contextlib.suppress(*UNREADABLE), PIL.Image.open(file) as image:
        if image.format not in FORMATS:  # such as PostScript, which another program would be started for
            raise InputError(f"is a {image.format} file, whatever its name says")
        check_size(image.width, image.height)
        return image.format
    return None


def taken(image: PIL.Image.Image) -> str | None:
    """When a photo was taken, as ``YYYY-MM-DDTHH:MM:SS`` by its camera's clock; None where it does not say."""
    with contextlib.suppress(*UNREADABLE, KeyError, AttributeError):
        exif = image.getexif()
        text = str(exif.get_ifd(_EXIF).get(_TAKEN) or exif.get(_CHANGED) or "").strip("\0 ") if exif else ""
        date, _, time = text.partition(" ")
        year, month, day = (int(part) for part in date.split(":"))
        hour, minute, second = (int(part) for part in time.split(":"))
        if year > 1800 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61:
            return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    return None


def fingerprint(pixels, image: PIL.Image.Image) -> int:
    """64 bits that hardly change when a picture is scaled or stored anew: which of 8 x 8 neighbours is brighter.

    pixels: preprocessed picture, float tensor [3, size, size]; where the model is given something else, ``image``
    itself is looked at. Returned as a signed number, which SQLite holds.
    """
    import numpy as np
    import torch

    if getattr(pixels, "ndim", 0) != 3:
        pixels = torch.from_numpy(np.array(image.convert("RGB").resize((224, 224)))).permute(2, 0, 1).float()
    small = torch.nn.functional.adaptive_avg_pool2d(pixels.mean(0)[None], (8, 9))[0]
    bits = (small[:, 1:] > small[:, :-1]).flatten().tolist()
    value = sum(1 << place for place, bit in enumerate(bits) if bit)
    return value - (1 << 64) if value >> 63 else value


def thumbnail(path: Path, pixels: int) -> bytes:
    """A JPEG of at most ``pixels`` a side. Raises InputError when the photo cannot be read."""
    content = raw.picture(path) if path.suffix.lower() in RAW else path.read_bytes()
    kind_of(io.BytesIO(content))
    image = _draft(content, pixels) or open_rgb(io.BytesIO(content))
    image.thumbnail((pixels, pixels))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def _draft(content: bytes, pixels: int) -> PIL.Image.Image | None:
    """A JPEG decoded at the smallest scale that serves, which is several times faster; None for other files."""
    try:
        with PIL.Image.open(io.BytesIO(content)) as image:
            if image.format != "JPEG" or image.mode != "RGB":
                return None
            image.draft("RGB", (pixels, pixels))
            return PIL.ImageOps.exif_transpose(image)
    except UNREADABLE as error:
        raise InputError(f"the image cannot be read ({error})") from error
