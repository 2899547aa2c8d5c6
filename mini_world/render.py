"""Drawing scenes and garments: supersampled with PIL, the same bytes for the same scene."""

import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from mini_world.garments import Garment
from mini_world.world import RADII, Scene

SIZE = 64  # pixels
_SCALE = 4  # supersampling per axis
_WIDE = SIZE * _SCALE
# Paints a background: its colour and the source of what no caption tells → RGB image of SIZE x SIZE pixels.
Ground = Callable[[tuple[int, int, int], random.Random], Image.Image]

_RGB = {
    "red": (214, 40, 40),
    "orange": (245, 130, 30),
    "yellow": (248, 215, 50),
    "green": (45, 155, 65),
    "blue": (40, 85, 205),
    "purple": (135, 55, 165),
    "white": (247, 247, 247),
    "black": (22, 22, 26),
}
_GROUND = {
    "grey": (150, 150, 152),
    "pink": (250, 185, 200),
    "green": (150, 205, 150),
    "blue": (150, 190, 235),
    "yellow": (245, 235, 160),
    "brown": (135, 95, 65),
    "light": (235, 232, 228),
}


def draw(picture: Scene | Garment, ground: Ground | None = None) -> Image.Image:
    """RGB image of SIZE x SIZE pixels. ground: paints the background of a scene; by default faint waves."""
    canvas = _garment(picture) if isinstance(picture, Garment) else _scene(picture, ground or _waves)
    return canvas.resize((SIZE, SIZE), Image.Resampling.BOX)


def silhouettes(picture: Scene | Garment) -> list[np.ndarray]:
    """Boolean [SIZE, SIZE] masks of the things in their order, or of the garment: what training may look at."""
    if isinstance(picture, Garment):
        rng = random.Random(picture.detail)
        _ground(_GROUND["light"], rng)  # draws what comes before the parts
        (dx, dy), parts = _placed_parts(picture, rng)
        return [_mask(parts, [_circle(0.5 + dx, 0.1 + dy, 0.08)])]
    return [_mask([_outline(thing, random.Random(thing.detail))[-1]]) for thing in picture.things]


def _mask(outlines, holes=()) -> np.ndarray:
    mask = Image.new("L", (_WIDE, _WIDE))
    pen = ImageDraw.Draw(mask)
    for outlines_, value in ((outlines, 255), (holes, 0)):
        for outline in outlines_:
            pen.polygon(_pixels(outline), fill=value)
    return np.asarray(mask.resize((SIZE, SIZE), Image.Resampling.BOX)) > 127


def _outline(thing, rng):
    """x, y, radius and the outline of a thing."""
    x, y = (c + rng.uniform(-0.02, 0.02) for c in thing.centre)
    radius = RADII[thing.size] * rng.uniform(0.95, 1.05)
    return x, y, radius, _OUTLINES[thing.shape](x, y, radius)


def _placed_parts(garment: Garment, rng):
    """The shift of a garment, and its parts after it."""
    dx, dy = rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)
    return (dx, dy), [[(x + dx, y + dy) for x, y in part] for part in _garment_parts(garment)]


def _scene(scene: Scene, ground: Ground) -> Image.Image:
    rng = random.Random(scene.detail)
    canvas = _ground(_GROUND[scene.background], rng, ground)
    for thing in scene.things:
        rng = random.Random(thing.detail)
        x, y, radius, outline = _outline(thing, rng)
        _fill(canvas, [outline], _shade(_RGB[thing.colour], rng))
        _mark(canvas, x, y, radius, rng)
    return canvas


def _garment(garment: Garment) -> Image.Image:
    rng = random.Random(garment.detail)
    canvas = _ground(_GROUND["light"], rng)
    (dx, dy), parts = _placed_parts(garment, rng)
    _fill(canvas, parts, _shade(_RGB[garment.colour], rng), garment.pattern, _RGB[garment.ink], rng)
    pen = ImageDraw.Draw(canvas)
    pen.polygon(_pixels(_circle(0.5 + dx, 0.1 + dy, 0.08)), fill=_GROUND["light"])
    if garment.kind == "shirt":
        for i in range(4):
            pen.polygon(
                _pixels(_circle(0.5 + dx, 0.32 + 0.1 * i + dy, 0.014)), fill=(250, 250, 240), outline=(40, 40, 40)
            )
    if garment.logo != "none":
        outline = (_heart if garment.logo == "heart" else _star)(0.6 + dx, 0.32 + dy, 0.08)
        pen.polygon(_pixels(outline), fill=(240, 105, 170), outline=(90, 30, 60))
    return canvas


def _garment_parts(garment: Garment) -> list[list[tuple[float, float]]]:
    """Body and sleeves as polygons of fractions."""
    hem = {"dress": {"short": 0.7, "long": 0.93}, "shirt": {"short": 0.68, "long": 0.86}}
    hem = hem.get(garment.kind, {"short": 0.54, "long": 0.72})[garment.length]
    flare = {"dress": 0.3, "shirt": 0.19, "toptee": 0.22}[garment.kind]
    waist = {"dress": 0.13, "shirt": 0.19, "toptee": 0.2}[garment.kind]
    body = [(0.36, 0.1), (0.64, 0.1), (0.69, 0.16), (0.5 + waist, 0.42), (0.5 + flare, hem)]
    body += [(1 - x, y) for x, y in reversed(body[2:])]
    reach = {"no": 0.0, "short": 0.14, "long": 0.42}[garment.sleeves]
    if not reach:
        return [body]
    tip = (0.69 + 0.45 * reach, 0.16 + reach)
    right = [(0.64, 0.1), (0.70, 0.13), (tip[0] + 0.04, tip[1]), (tip[0] - 0.06, tip[1] + 0.03), (0.66, 0.28)]
    return [body, right, [(1 - x, y) for x, y in right]]


# --- colour and texture ------------------------------------------------------------------------------------------

# Where the ink goes, by coordinates in units of the period along and across the pattern.
_PATTERNS = {
    "striped": lambda u, v: u % 1 < 0.38,
    "dotted": lambda u, v: (u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.075,
}


def _shade(rgb, rng) -> tuple[int, int, int]:
    """The colour, a little lighter or darker."""
    factor = rng.uniform(0.9, 1.06)
    return tuple(min(255, round(c * factor)) for c in rgb)


def _waves(rgb, rng) -> Image.Image:
    angle, phase, waves = rng.uniform(0, math.pi), rng.random(), rng.uniform(3, 7)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    wave = np.sin(2 * math.pi * (waves * (x * math.cos(angle) + y * math.sin(angle)) + phase))
    pixels = np.array(_shade(rgb, rng)) + 7 * wave[..., None]
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _ground(rgb, rng, paint: Ground = _waves) -> Image.Image:
    """Background with a few specks."""
    canvas = paint(rgb, rng).resize((_WIDE, _WIDE), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(canvas)
    for _ in range(rng.randint(3, 7)):
        tone = tuple(max(0, c - 45) for c in rgb)
        pen.polygon(_pixels(_circle(rng.random(), rng.random(), rng.uniform(0.006, 0.014))), fill=tone)
    return canvas


def _fill(canvas, outlines, rgb, pattern="plain", ink=None, rng=None) -> None:
    """Fill the union of polygons with a colour and, unless plain, a pattern in ``ink``."""
    mask = Image.new("L", canvas.size)
    pen = ImageDraw.Draw(mask)
    for outline in outlines:
        pen.polygon(_pixels(outline), fill=255)
    canvas.paste(rgb, mask=mask)
    if pattern != "plain":
        angle, phase = rng.uniform(0, math.pi), rng.random()
        period = 0.085 * rng.uniform(0.92, 1.08)
        left, top, right, bottom = mask.getbbox()
        y, x = np.mgrid[top:bottom, left:right] / _WIDE
        u = (x * math.cos(angle) + y * math.sin(angle)) / period + phase
        v = (y * math.cos(angle) - x * math.sin(angle)) / period + phase
        inked = np.asarray(mask)[top:bottom, left:right] * _PATTERNS[pattern](u, v)
        canvas.paste(ink, (left, top), mask=Image.fromarray(inked))
    # A thin dark line keeps a shape apart from a background of similar tone.
    edge = tuple(max(0, c - 70) for c in rgb)
    if len(outlines) == 1:
        outline = _pixels(outlines[0])
        ImageDraw.Draw(canvas).line([*outline, outline[0], outline[1]], fill=edge, width=_SCALE, joint="curve")


def _mark(canvas, x, y, radius, rng) -> None:
    """A small tick somewhere on a thing."""
    angle, reach = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.4) * radius
    x, y = x + reach * math.cos(angle), y + reach * math.sin(angle)
    turn, tone = rng.uniform(0, math.pi), rng.choice([(20, 20, 20), (240, 240, 240), (200, 30, 120)])
    dx, dy = 0.022 * math.cos(turn), 0.022 * math.sin(turn)
    ImageDraw.Draw(canvas).line(_pixels([(x - dx, y - dy), (x + dx, y + dy)]), fill=tone, width=_SCALE)


# --- outlines: polygons of (x, y) fractions ----------------------------------------------------------------------


def _pixels(points):
    return [(x * _WIDE, y * _WIDE) for x, y in points]


def _regular(x, y, radii, turn=0.0):
    """A polygon whose corners cycle through ``radii``, the first one up."""
    count = len(radii)
    angles = [2 * math.pi * i / count - math.pi / 2 + turn for i in range(count)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


def _circle(x, y, r):
    return _regular(x, y, [r] * 48)


def _square(x, y, r):
    return [
        (x - 0.85 * r, y - 0.85 * r),
        (x + 0.85 * r, y - 0.85 * r),
        (x + 0.85 * r, y + 0.85 * r),
        (x - 0.85 * r, y + 0.85 * r),
    ]


def _triangle(x, y, r):
    return [(x, y - r), (x + r, y + 0.85 * r), (x - r, y + 0.85 * r)]


def _diamond(x, y, r):
    return [(x, y - r), (x + 0.7 * r, y), (x, y + r), (x - 0.7 * r, y)]


def _star(x, y, r):
    return _regular(x, y, [r, 0.42 * r] * 5)


def _cross(x, y, r):
    a, b = 0.33 * r, 0.95 * r
    corners = [
        (-a, -b),
        (a, -b),
        (a, -a),
        (b, -a),
        (b, a),
        (a, a),
        (a, b),
        (-a, b),
        (-a, a),
        (-b, a),
        (-b, -a),
        (-a, -a),
    ]
    return [(x + dx, y + dy) for dx, dy in corners]


def _heart(x, y, r):
    turns = [2 * math.pi * i / 40 for i in range(40)]
    curve = [
        (math.sin(t) ** 3, (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16)
        for t in turns
    ]
    return [(x + r * u, y - r * v) for u, v in curve]


_OUTLINES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
    "star": _star,
    "cross": _cross,
}
