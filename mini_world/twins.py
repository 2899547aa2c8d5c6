"""The demo's world: queries that the words alone cannot answer, because every target has a twin.

Backgrounds have a bold texture here, for which captions have no words. A target keeps the texture of its reference and
the looks of what stays; its twin shows what the same caption tells, with another texture. So the words leave two
pictures, and the reference does not know the change: only both together tell the target.
"""

import dataclasses
import math
import random

import numpy as np
from PIL import Image

from mini_world import render, world

NAME = "mini_twins"
TEXTURES = ("waves", "stripes", "checks", "slope", "glow")
DEPTH = 20  # lightness that a texture adds and takes, of 255


def texture(scene: world.Scene) -> str:
    """Told by the scene's detail, as all that no caption says."""
    return random.Random(scene.detail).choice(TEXTURES)


def draw(scene: world.Scene) -> Image.Image:
    """RGB image of render.SIZE x render.SIZE pixels: the scene on its texture."""
    return render.draw(scene, _ground)


def _ground(rgb, rng: random.Random) -> Image.Image:
    kind, angle, phase = rng.choice(TEXTURES), rng.uniform(0, 2 * math.pi), rng.random()
    waves, shade, centre = rng.uniform(2, 4), rng.uniform(0.94, 1.04), (rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8))
    y, x = np.mgrid[0 : render.SIZE, 0 : render.SIZE] / render.SIZE
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    wave = np.sin(2 * math.pi * (waves * along + phase))
    values = {
        "waves": wave,
        "stripes": np.sign(wave),
        "checks": np.sign(wave * np.sin(2 * math.pi * waves * across)),
        "slope": 2 * along - along.min() - along.max(),
        "glow": 1 - 2 * np.clip(np.hypot(x - centre[0], y - centre[1]) / 0.7, 0, 1),
    }[kind]
    pixels = np.array(rgb) * shade + DEPTH * values[..., None]
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def image_set(rng: random.Random) -> tuple[list[world.Scene], list[tuple[int, int, world.Edit]]]:
    """Reference, target, its twin, either half of the edit, and the twin with another edit; the edit from first to
    second. An edit changes the background and something else.
    """
    reference = world.random_scene(rng)
    first = world.random_edit(reference, rng)
    kinds = ("background",) if first.kind != "background" else ("colour", "shape", "add")
    edit = world.joined(first, world.random_edit(first.target, rng, kinds))
    target = kept(edit.target, reference)
    twin = target
    while texture(twin) == texture(target):
        twin = world.redrawn(target, rng, whole=True)
    halves = [
        dataclasses.replace(reference, background=target.background),
        dataclasses.replace(target, background=reference.background),
    ]
    return [reference, target, twin, *halves, kept(world.random_edit(twin, rng).target, twin)], [(0, 1, edit)]


def kept(after: world.Scene, before: world.Scene) -> world.Scene:
    """``after`` with the details of what is still there, by its shape or, of another shape, at its place."""
    details = {t.place: t.detail for t in before.things} | {t.shape: t.detail for t in before.things}
    things = [dataclasses.replace(t, detail=details.get(t.shape, details.get(t.place, t.detail))) for t in after.things]
    return dataclasses.replace(after, things=tuple(things), detail=before.detail)
