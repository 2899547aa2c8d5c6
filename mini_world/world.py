"""Scenes of the mini world: one or two coloured shapes on a background, and the sentences about them.

A scene is what a caption can say. The ``detail`` seeds stand for what it does not say: shades, the phase and
angle of textures, small marks, a few pixels of shift. No two shapes of a scene are the same, so "the circle" is clear.
"""

import dataclasses
import random
from collections.abc import Iterator

SHAPES = ("circle", "square", "triangle", "diamond", "star", "cross")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
BACKGROUNDS = ("grey", "pink", "green", "blue", "yellow", "brown")
SIZES = ("small", "large")
PLACES = ("top left", "top right", "bottom left", "bottom right")
RADII = {"small": 0.15, "large": 0.225}
MOST = 2  # things of a scene

# {things} is "a small red circle at the top left and …", {background} a colour name.
TEMPLATES = (
    "{things} on a {background} background",
    "a {background} background with {things}",
    "a picture of {things} on a {background} background",
    "there is {things} in front of a {background} background",
)


@dataclasses.dataclass(frozen=True)
class Thing:
    """One shape. detail seeds what no caption says."""

    shape: str
    colour: str
    size: str
    place: str
    detail: int = 0

    @property
    def noun(self) -> str:
        return f"{self.size} {self.colour} {self.shape}"

    @property
    def centre(self) -> tuple[float, float]:
        """x, y as fractions of the image, y downwards."""
        return (0.25 if "left" in self.place else 0.75, 0.25 if "top" in self.place else 0.75)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 as fractions of the image; the drawn shape is within 0.03 of it."""
        (x, y), r = self.centre, RADII[self.size]
        return (x - r, y - r, x + r, y + r)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A background and one or two things in the order in which a caption names them."""

    background: str
    things: tuple[Thing, ...]
    detail: int = 0

    def key(self, mentions: frozenset = frozenset({"size", "place"})) -> tuple:
        """What makes two scenes the same answer: always background, shapes and colours.

        mentions: "size" or "place" (of every thing), or (shape, "size" | "place") for one thing.
        """
        things = []
        for t in self.things:
            extra = [getattr(t, f) if {f, (t.shape, f)} & mentions else "" for f in ("size", "place")]
            things.append((t.shape, t.colour, *extra))
        return self.background, tuple(sorted(things))

    def with_things(self, *things: Thing) -> "Scene":
        return dataclasses.replace(self, things=things)


@dataclasses.dataclass(frozen=True)
class Edit:
    """A changed scene and the relative caption that asks for it.

    aspects: CIRCO's semantic aspects. mentions: see Scene.key.
    """

    kind: str
    target: Scene
    caption: str
    aspects: tuple[str, ...]
    mentions: frozenset = frozenset()


def article(noun: str) -> str:
    """
    >>> article("orange star")
    'an orange star'
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def describe(scene: Scene, template: int = 0) -> str:
    """A caption that names every attribute but the detail."""
    things = listed([f"{article(t.noun)} at the {t.place}" for t in scene.things])
    return TEMPLATES[template].format(things=things, background=scene.background)


def random_scene(rng: random.Random, count: int | None = None) -> Scene:
    """Two things or, one time in three, one (or ``count``), of distinct shapes and places and unlike the background."""
    count = rng.choice((1, 2, 2)) if count is None else count
    background = rng.choice(BACKGROUNDS)
    things = [
        Thing(shape, colour_unlike(rng, background), rng.choice(SIZES), place, rng.getrandbits(32))
        for shape, place in zip(rng.sample(SHAPES, count), rng.sample(PLACES, count), strict=True)
    ]
    return Scene(background, tuple(things), rng.getrandbits(32))


def redrawn(scene: Scene, rng: random.Random, vary: frozenset = frozenset(), whole: bool = False) -> Scene:
    """The same scene drawn anew: other details of the things, and with ``whole`` of the background too.

    vary: (shape, "size" | "place") pairs that may change as well; places stay distinct.
    """
    things = []
    taken = [t.place for t in scene.things]
    for thing in scene.things:
        changes = {"detail": rng.getrandbits(32)}
        if (thing.shape, "size") in vary:
            changes["size"] = rng.choice(SIZES)
        if (thing.shape, "place") in vary:
            free = [p for p in PLACES if p == thing.place or p not in taken]
            changes["place"] = rng.choice(free)
            taken[taken.index(thing.place)] = changes["place"]
        things.append(dataclasses.replace(thing, **changes))
    return dataclasses.replace(scene, things=tuple(things), detail=rng.getrandbits(32) if whole else scene.detail)


def colour_unlike(rng: random.Random, *others: str) -> str:
    return rng.choice([c for c in COLOURS if c not in others])


# --- edits -------------------------------------------------------------------------------------------------------

# (phrase, aspects it has by its wording)
_ORDER = ("direct_addressing",)
_PHRASES = {
    "colour": (
        ("make the {shape} {new}", _ORDER),
        ("change the {old} {shape} to {new}", _ORDER),
        ("has {a_new} {shape} instead of {a_old} one", ()),
        ("the {shape} is {new}", ()),
    ),
    "shape": (
        ("replace the {shape} with {a_new}", _ORDER),
        ("has {a_coloured} instead of the {shape}", ()),
        ("turn the {shape} into {a_new}", _ORDER),
    ),
    "size": (
        ("make the {shape} {than}", _ORDER),
        ("has a {than} {shape}", ()),
        ("the {shape} is {than}", ()),
    ),
    "place": (
        ("move the {shape} to the {side}", _ORDER),
        ("the {shape} is further to the {side}", ()),
        ("has the {shape} at the {side}", ()),
    ),
    "add": (
        ("add {a_thing} at the {place}", _ORDER),
        ("also has {a_thing} at the {place}", ()),
        ("has two shapes, with {a_thing} at the {place}", ("cardinality",)),
    ),
    "remove": (
        ("remove the {shape}", _ORDER),
        ("has no {shape}", ()),
        ("the same without the {shape}", ()),
    ),
    "background": (
        ("on a {new} background", ()),
        ("make the background {new}", _ORDER),
        ("has a {new} background instead of {old}", ()),
    ),
}
_ASPECTS = {
    "colour": "compare_change",
    "shape": "compare_change",
    "size": "comparative_statement",
    "place": "spatial_relations_background",
    "add": "addition",
    "remove": "negation",
    "background": "spatial_relations_background",
}
KINDS = tuple(_PHRASES)


def random_edit(scene: Scene, rng: random.Random, kinds: tuple[str, ...] = KINDS) -> Edit:
    """One change of one attribute, in one of several wordings. The target keeps the background's detail."""
    while True:
        kind = rng.choice(kinds)
        change = _change(kind, scene, rng)
        if change:
            target, words, mentions = change
            phrase, aspects = rng.choice(_PHRASES[kind])
            return Edit(kind, redrawn(target, rng), phrase.format(**words), (*aspects, _ASPECTS[kind]), mentions)


def _change(kind: str, scene: Scene, rng: random.Random):
    """(target, words for the phrase, mentions), or None where the scene does not allow this kind."""
    if kind == "background":
        free = [b for b in BACKGROUNDS if b != scene.background and b not in {t.colour for t in scene.things}]
        new = rng.choice(free)
        return dataclasses.replace(scene, background=new), {"new": new, "old": scene.background}, frozenset()
    if kind == "add":
        return _added(scene, rng)
    index = rng.randrange(len(scene.things))
    if kind == "remove":
        rest = scene.things[:index] + scene.things[index + 1 :]
        return (scene.with_things(*rest), {"shape": scene.things[index].shape}, frozenset()) if rest else None
    return _altered(kind, scene, index, rng)


def _added(scene: Scene, rng: random.Random):
    """One thing more, in a free place."""
    if len(scene.things) == MOST:
        return None
    taken = {t.place for t in scene.things}
    shape = rng.choice([s for s in SHAPES if s not in {t.shape for t in scene.things}])
    place = rng.choice([p for p in PLACES if p not in taken])
    colour = colour_unlike(rng, scene.background)
    thing = Thing(shape, colour, rng.choice(SIZES), place)
    words = {"a_thing": article(thing.noun), "place": place}
    return scene.with_things(*scene.things, thing), words, frozenset({(shape, "size"), (shape, "place")})


def _altered(kind: str, scene: Scene, index: int, rng: random.Random):
    """Another colour, shape, size or place of one thing."""
    thing = scene.things[index]
    words, mentions = {"shape": thing.shape}, frozenset()
    if kind == "colour":
        new = colour_unlike(rng, scene.background, thing.colour)
        words |= {"new": new, "old": thing.colour, "a_new": article(new), "a_old": article(thing.colour)}
    elif kind == "shape":
        new = rng.choice([s for s in SHAPES if s not in {t.shape for t in scene.things}])
        words |= {"a_new": article(new), "a_coloured": article(f"{thing.colour} {new}")}
    elif kind == "size":
        new = SIZES[1 - SIZES.index(thing.size)]
        words |= {"than": {"small": "smaller", "large": "larger"}[new]}
        mentions = frozenset({(thing.shape, "size")})
    else:
        taken = {t.place for t in scene.things}
        neighbours = [p for p in _neighbours(thing.place) if p not in taken]
        if not neighbours:
            return None
        new = rng.choice(neighbours)
        words |= {"side": next(iter(set(new.split()) - set(thing.place.split())))}
        mentions = frozenset({(thing.shape, "place")})
    things = list(scene.things)
    things[index] = dataclasses.replace(thing, **{kind: new})
    return scene.with_things(*things), words, mentions


def _neighbours(place: str) -> Iterator[str]:
    """Places beside or above or below ``place``, not across."""
    for other in PLACES:
        if len(set(other.split()) & set(place.split())) == 1:
            yield other


def joined(first: Edit, second: Edit) -> Edit:
    """Two edits in one sentence; ``second`` was made on ``first.target``."""
    aspects = tuple(dict.fromkeys((*first.aspects, *second.aspects, "statement_with_conjunction")))
    caption = f"{first.caption} and {second.caption}"
    return Edit(f"{first.kind}+{second.kind}", second.target, caption, aspects, first.mentions | second.mentions)
