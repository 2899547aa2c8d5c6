"""Masks of objects: read from COCO RLE, measured, and moved into a box of the imagined image."""

import numpy as np
from PIL import Image

from ipcir_steps.core.boxes import Box
from ipcir_steps.core.errors import StepFailure


def encode_rle(mask: np.ndarray) -> dict:
    """COCO run-length encoding of a boolean [H, W] mask: {"size": [H, W], "counts": text}."""
    from pycocotools import mask as coco

    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_rle(mask: dict, what: str = "the mask") -> np.ndarray:
    """COCO RLE to [height, width] of 0 and 1 (uint8). Raises StepFailure, naming ``what``, when it is damaged."""
    from pycocotools import mask as rle

    try:
        return rle.decode({"size": mask["size"], "counts": mask["counts"].encode()})
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise StepFailure(f"{what} is not a COCO RLE ({error})") from error


def extent(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Rectangle (top, bottom, left, right; ends excluded) of the non-zero part of [height, width]; None when empty."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) if len(rows) else None


def box_of(mask: np.ndarray) -> Box:
    """The box of the non-zero part, as fractions of the image; without area when the mask is empty."""
    (top, bottom, left, right), (height, width) = extent(mask) or (0, 0, 0, 0), mask.shape
    return float(left / width), float(top / height), float(right / width), float(bottom / height)


def resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width] of 0 and 1 by the nearest pixel."""
    return np.array(Image.fromarray((mask > 0).astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST))


def into_box(mask: np.ndarray, box: Box, height: int, width: int) -> np.ndarray:
    """The non-zero part of a mask, stretched to fill a box of an image of height x width: 0 and 1 (uint8).

    Edges of the box truncate to whole pixels. Zero everywhere when the mask is empty or the box has no whole pixel.
    """
    result = np.zeros((height, width), np.uint8)
    found = extent(mask)
    x1, y1, x2, y2 = int(width * box[0]), int(height * box[1]), int(width * box[2]), int(height * box[3])
    if found is not None and x2 > x1 and y2 > y1:
        top, bottom, left, right = found
        result[y1:y2, x1:x2] = resized(mask[top:bottom, left:right], y2 - y1, x2 - x1)
    return result
