"""Training pictures: scenes and garments, each with a sibling that differs in one edit, rendered once and shared."""

import random
from pathlib import Path

import numpy as np

from ipcir_steps.core.files import atomic
from ipcir_steps.core.files import seed as derive
from ipcir_steps.core.progress import Progress
from mini_world import garments, render, world

PAIRS = 30_000
GARMENTS = 0.2  # share of garments
HELD_OUT = 2_000  # the last pairs are for evaluation: no recipe trains on them

Picture = world.Scene | garments.Garment
Pair = tuple[Picture, Picture, tuple[str, ...]]


def pair(rng: random.Random) -> Pair:
    """A picture, the picture after an edit, and the relative captions (garments: two)."""
    if rng.random() < GARMENTS:
        garment = garments.random_garment(rng, rng.choice(garments.KINDS))
        target, captions = garments.random_edit(garment, rng)
        return garment, target, captions
    scene = world.random_scene(rng)
    edit = world.random_edit(scene, rng)
    if rng.random() < 0.2:  # as CIRCO joins two
        kinds = ("background",) if edit.kind != "background" else ("colour", "shape", "add")
        edit = world.joined(edit, world.random_edit(edit.target, rng, kinds))
    return scene, edit.target, (edit.caption,)


def pairs(seed: int, count: int = PAIRS) -> list[Pair]:
    """The same list for the same seed; its seed is never that of a benchmark's world."""
    rng = random.Random(derive(seed, "mini", "pool"))
    return [pair(rng) for _ in range(count)]


def training(seed: int, images: np.ndarray) -> list[Pair]:
    """The pairs of these images (the pool, or its beginning) that are not held out."""
    return pairs(seed, min(len(images), PAIRS - HELD_OUT))


def describe(picture: Picture, template: int = 0) -> str:
    """A caption that names every attribute but the detail."""
    return world.describe(picture, template) if isinstance(picture, world.Scene) else garments.describe(picture)


def rendered(seed: int, path: Path, count: int = PAIRS) -> np.ndarray:
    """uint8 [count, 2, 64, 64, 3], memory-mapped from ``path``, which is rendered first where it is absent."""
    if not path.is_file():
        images = np.empty((count, 2, render.SIZE, render.SIZE, 3), np.uint8)
        with Progress("rendering", total=count) as progress:
            for row, (first, second, _) in zip(images, pairs(seed, count), strict=True):
                row[0], row[1] = np.asarray(render.draw(first)), np.asarray(render.draw(second))
                progress.advance()
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.save(file, images)
    return np.load(path, mmap_mode="r")
