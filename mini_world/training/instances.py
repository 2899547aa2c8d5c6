"""Pictures with their instances: what a detector and a segmenter learn from."""

import dataclasses
import random

import numpy as np
from torch import Tensor

from mini_world import garments, render, world
from mini_world.training.pool import Picture

CATEGORIES = (*world.SHAPES, *garments.NOUNS.values())
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of both models' image processors


@dataclasses.dataclass(frozen=True)
class Instance:
    """mask: bool [64, 64]. box: x1, y1, x2, y2 of the mask in pixels, the far edges exclusive."""

    category: str
    mask: np.ndarray
    box: tuple[int, int, int, int]


def instances(picture: Picture) -> list[Instance]:
    if isinstance(picture, garments.Garment):
        names = [garments.NOUNS[picture.kind]]
    else:
        names = [thing.shape for thing in picture.things]
    return [Instance(name, mask, box_of(mask)) for name, mask in zip(names, render.silhouettes(picture), strict=True)]


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def question(picture: Picture, rng: random.Random, absent: float = 0.4) -> tuple[str, Instance | None]:
    """A category to ask for, and the instance that answers, or None where the picture has no such thing."""
    found = instances(picture)
    if rng.random() < absent:
        # Mostly what could be there: shapes in a scene, garments beside a garment.
        near = world.SHAPES if not isinstance(picture, garments.Garment) else tuple(garments.NOUNS.values())
        pool = near if rng.random() < 0.8 else CATEGORIES
        return rng.choice([c for c in pool if c not in {i.category for i in found}]), None
    chosen = rng.choice(found)
    return chosen.category, chosen


def normalised(pixels: Tensor) -> Tensor:
    """float32 [n, 3, 64, 64] in 0..1 → as the image processors give them."""
    return (pixels - pixels.new_tensor(MEAN)[:, None, None]) / pixels.new_tensor(STD)[:, None, None]
