"""Writes raw photographs as cameras store them: Adobe's DNG (specification 1.4), a TIFF file of the sensor's values."""

import io
import struct
from pathlib import Path

import numpy as np
import PIL.Image

_KINDS = {"B": 1, "s": 2, "H": 3, "I": 4, "r": 5, "R": 10}  # TIFF's types: byte, text, short, long, (signed) rational
_BYTES = {"B": 1, "s": 1, "H": 2, "I": 4, "r": 8, "R": 8}


def write(
    path: Path, colour: tuple[int, int, int], size=(256, 192), orientation=1, taken="", preview: str | None = None
) -> None:
    """A sensor of ``size`` behind a Bayer filter that saw one colour. preview: colour of the JPEG stored beside it."""
    width, height = size
    seen = [linear(value) for value in colour]
    sensor = np.empty((height, width), np.uint16)
    for row in (0, 1):
        for column in (0, 1):  # red green, green blue
            sensor[row::2, column::2] = seen[row + column]
    values = sensor.astype("<u2").tobytes()
    raw = {
        254: ("I", 0), 256: ("I", width), 257: ("I", height), 258: ("H", 16), 259: ("H", 1), 262: ("H", 32803),
        273: ("I", values), 277: ("H", 1), 278: ("I", height), 279: ("I", len(values)), 33421: ("H", 2, 2),
        33422: ("B", 0, 1, 1, 2), 50714: ("H", 0), 50717: ("H", 60_000),
    }  # fmt: skip
    matrix = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)  # linear sRGB
    camera = {
        271: ("s", "Someone"), 272: ("s", "Camera"), 274: ("H", orientation), 306: ("s", taken or None),
        50706: ("B", 1, 4, 0, 0), 50707: ("B", 1, 4, 0, 0), 50708: ("s", "Someone Camera"), 50721: ("R", *matrix),
        50728: ("r", 1.0, 1.0, 1.0), 50778: ("H", 21),
    }  # fmt: skip
    if preview is None:
        first = {**raw, **camera}
    else:
        jpeg = io.BytesIO()
        PIL.Image.new("RGB", (width // 2, height // 2), preview).save(jpeg, "JPEG")
        first = {
            254: ("I", 1), 256: ("I", width // 2), 257: ("I", height // 2), 258: ("H", 8, 8, 8), 259: ("H", 7),
            262: ("H", 6), 273: ("I", jpeg.getvalue()), 277: ("H", 3), 278: ("I", height // 2),
            279: ("I", len(jpeg.getvalue())), 330: ("I", raw), **camera,
        }  # fmt: skip
    out = bytearray(b"II*\0\0\0\0\0")
    struct.pack_into("<I", out, 4, _directory(out, first))
    path.write_bytes(out)


def linear(value: int) -> int:
    """What the sensor gives for a colour's value of a screen, in [0, 255]."""
    return round((value / 255) ** 2.2 * 60_000)


def _directory(out: bytearray, tags: dict) -> int:
    """Append a directory with what it points at; its offset. Bytes and directories stand for their offsets."""
    entries = []
    for tag, (kind, *given) in sorted(tags.items()):
        if given == [None]:
            continue
        values = [_appended(out, value) for value in given]
        packed = b"".join(_packed(kind, value) for value in values)
        count = len(packed) // _BYTES[kind]
        if len(packed) > 4:
            packed = struct.pack("<I", _appended(out, packed))
        entries.append(struct.pack("<HHI", tag, _KINDS[kind], count) + packed.ljust(4, b"\0"))
    return _appended(out, struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))


def _appended(out: bytearray, value):
    if isinstance(value, dict):
        return _directory(out, value)
    if not isinstance(value, bytes):
        return value
    out.extend(bytes(len(out) % 2))
    out.extend(value)
    return len(out) - len(value)


def _packed(kind: str, value) -> bytes:
    if kind == "s":
        return value.encode() + b"\0"
    if kind in "rR":
        return struct.pack("<ii", round(value * 10_000), 10_000)
    return struct.pack(f"<{kind}", value)
