"""Raw photographs: the picture that the camera stored in the file, else the sensor's values developed."""

import datetime
import io
from pathlib import Path

import PIL.Image

from ipcir_steps.core.errors import InputError
from ipcir_steps.photos.bounds import check_size

_TURNED = {3: 3, 5: 8, 6: 6}  # LibRaw's flip: EXIF's orientation
_ORIENTATION, _CHANGED = 274, 306  # EXIF's tags: Orientation, DateTime


def picture(path: Path) -> bytes:
    """A JPEG or PNG file of the photo, with its orientation and date as EXIF has them. Raises InputError with what is
    wrong."""
    try:
        import rawpy
    except ImportError:
        remedy = "Install it: pip install 'ipcir[photos]'."
        raise InputError("raw files need rawpy", file=path, remedy=remedy) from None
    try:
        with rawpy.imread(str(path)) as raw:
            try:
                stored = raw.extract_thumb()
            except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
                check_size(raw.sizes.raw_width, raw.sizes.raw_height, path)
                developed = raw.postprocess(use_camera_wb=True, half_size=True)  # upright
                return _png(developed, 1, raw.other.timestamp)
            if stored.format == rawpy.ThumbFormat.JPEG:
                return bytes(stored.data)  # LibRaw gives it EXIF where it has none
            return _png(stored.data, _TURNED.get(raw.sizes.flip, 1), raw.other.timestamp)
    except (rawpy.LibRawError, rawpy.NotSupportedError, OSError, ValueError) as error:
        raise InputError(f"the raw file cannot be read ({error})", file=path) from error


def _png(values, orientation: int, taken: datetime.datetime | None) -> bytes:
    """values: uint8 [height, width, 3]."""
    out, exif = io.BytesIO(), PIL.Image.Exif()
    exif[_ORIENTATION] = orientation
    if taken is not None and taken.year > 1970:  # else the camera did not say
        exif[_CHANGED] = taken.strftime("%Y:%m:%d %H:%M:%S")
    PIL.Image.fromarray(values).save(out, "PNG", compress_level=1, exif=exif)
    return out.getvalue()
