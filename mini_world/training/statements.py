"""Captions of pictures, whole and partial, and the facts each of them states: what fits which picture."""

import dataclasses
import random
from itertools import product

import numpy as np

from mini_world import garments, world
from mini_world.training.pool import Picture

Fact = tuple[str, ...]
Caption = tuple[str, frozenset[Fact]]  # the text and what it states

_PREFIXES = (
    "a photo of ", "a photo of ", "a picture of ", "an image of ", "a photo showing ", "this is ", "a close-up of ",
    "a bright photo of ", "a dark photo of ", "a cropped image of ", "a view of ", "a snapshot of ", "a drawing of ",
    "a good photo of ", "a blurry photo of ",
)  # fmt: skip


def facts(picture: Picture) -> frozenset[Fact]:
    """Everything that a caption may state of a picture: a caption fits where all that it states is among them."""
    if isinstance(picture, garments.Garment):
        pattern = {("pattern", picture.pattern)}
        if picture.pattern != "plain":
            pattern.add(("pattern", picture.pattern, picture.ink))
        rest = {(name, getattr(picture, name)) for name in ("kind", "colour", "sleeves", "length", "logo")}
        return frozenset(pattern | rest)
    found = {("background", picture.background), ("things", str(len(picture.things)))}
    for thing in picture.things:
        found |= {_thing(thing, *parts) for parts in product((False, True), repeat=3)}
    return frozenset(found)


def _thing(thing: world.Thing, size: bool, colour: bool, place: bool) -> Fact:
    """The fact that there is such a shape, with some of its attributes ("" where they are not told)."""
    return (thing.shape, thing.size if size else "", thing.colour if colour else "", thing.place if place else "")


def whole(picture: Picture, rng: random.Random) -> Caption:
    """describe() in any template, its things in any order, now and then behind "a photo of"."""
    if isinstance(picture, garments.Garment):
        text = garments.describe(picture)
        pattern = ("pattern", picture.pattern, *([picture.ink] if picture.pattern != "plain" else []))
        said = frozenset(f for f in facts(picture) if f[0] != "pattern") | {pattern}
    else:
        things = list(picture.things)
        if rng.random() < 0.3:
            rng.shuffle(things)
        text = world.describe(dataclasses.replace(picture, things=tuple(things)), rng.randrange(len(world.TEMPLATES)))
        said = {("background", picture.background), ("things", str(len(things)))}
        said = frozenset(said | {_thing(t, True, True, True) for t in things})
    if rng.random() < 0.25 and not text.startswith(("a picture", "there")):
        text = rng.choice(_PREFIXES) + text
    return text, said


def partial(picture: Picture, rng: random.Random) -> Caption:
    """A caption that leaves attributes out."""
    text, said = _garment_part(picture, rng) if isinstance(picture, garments.Garment) else _scene_part(picture, rng)
    return (rng.choice(_PREFIXES) + text if rng.random() < 0.5 else text), said


def _scene_part(scene: world.Scene, rng: random.Random) -> Caption:
    things = rng.sample(scene.things, rng.randint(1, len(scene.things)))
    size, place = rng.random() < 0.3, rng.random() < 0.3
    colour = rng.random() < 0.85
    ground = rng.random() < 0.6
    nouns, said = [], set()
    for thing in things:
        said.add(_thing(thing, size, colour, place))
        words = [*([thing.size] if size else []), *([thing.colour] if colour else []), thing.shape]
        noun = world.article(" ".join(words))
        if colour and not size and rng.random() < 0.15:
            noun = f"{world.article(thing.shape)} that is {thing.colour}"
        nouns.append(f"{noun} at the {thing.place}" if place else noun)
    text = world.listed(nouns)
    if not colour and not size and len(things) == 1 and rng.random() < 0.3:
        ground = False
    if ground:
        said.add(("background", scene.background))
        template = rng.choice(("{things} on {ground}", "{ground} with {things}", "{things} in front of {ground}"))
        text = template.format(things=text, ground=f"{world.article(scene.background)} background")
    return text, frozenset(said)


def _garment_part(garment: garments.Garment, rng: random.Random) -> Caption:
    said: set[Fact] = {("kind", garment.kind)}
    length, sleeves = rng.choice(((False, False), (True, False), (False, True)))
    words = [garments.NOUNS[garment.kind]]
    if rng.random() < 0.75:
        words.insert(0, garment.colour)
        said.add(("colour", garment.colour))
    if length:
        words.insert(0, garment.length)
        said.add(("length", garment.length))
    text = world.article(" ".join(words))
    if garment.pattern != "plain" and rng.random() < 0.5:
        with_ink = rng.random() < 0.5
        text += f" {garment.pattern} in {garment.ink}" if with_ink else f" that is {garment.pattern}"
        said.add(("pattern", garment.pattern, *([garment.ink] if with_ink else [])))
    if sleeves:
        text += f" with {garment.sleeves} sleeves"
        said.add(("sleeves", garment.sleeves))
    if garment.logo != "none" and rng.random() < 0.5:
        text += f" and {world.article(garment.logo)} on it" if sleeves else f" with {world.article(garment.logo)} on it"
        said.add(("logo", garment.logo))
    return text, frozenset(said)


def sibling(picture: Picture, rng: random.Random) -> Picture:
    """The picture with one edit."""
    if isinstance(picture, garments.Garment):
        return garments.random_edit(picture, rng)[0]
    return world.random_edit(picture, rng).target


def fits(captions: list[frozenset[Fact]], pictures: list[frozenset[Fact]]) -> np.ndarray:
    """bool [captions, pictures]: all that the caption states is true of the picture."""
    index: dict[Fact, int] = {}
    for said in captions:
        for fact in said:
            index.setdefault(fact, len(index))
    told = np.zeros((len(captions), len(index)), np.float32)
    true = np.zeros((len(pictures), len(index)), np.float32)
    for row, said in zip(told, captions, strict=True):
        row[[index[f] for f in said]] = 1
    for row, found in zip(true, pictures, strict=True):
        row[[index[f] for f in found if f in index]] = 1
    return told @ true.T >= told.sum(1, keepdims=True)
