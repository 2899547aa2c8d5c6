"""Garments of the mini world: dresses, shirts and tops with a few attributes each, and captions of a change."""

import dataclasses
import random

from mini_world.world import COLOURS, article

KINDS = ("dress", "shirt", "toptee")
NOUNS = {"dress": "dress", "shirt": "shirt", "toptee": "top"}
ATTRIBUTES = {
    "colour": COLOURS,
    "pattern": ("plain", "striped", "dotted"),
    "ink": ("white", "black", "yellow"),
    "sleeves": ("no", "short", "long"),
    "length": ("short", "long"),
    "logo": ("none", "heart", "star"),
}

_PHRASES = {
    "colour": ("is {new}", "is {new} instead of {old}", "the {noun} is more {new}"),
    "pattern": ("is {new}", "has a {new} pattern", "is {new} and not {old}"),
    "ink": ("has a {new} pattern", "the pattern is {new}", "is {pattern} in {new}"),
    "sleeves": ("has {new} sleeves", "with {new} sleeves", "a {noun} with {new} sleeves"),
    "length": ("is {new}er", "has a {new}er cut", "the {noun} is {new}er"),
    "logo": ("has {a_new} on it", "with {a_new} on the chest", "the logo is {a_new}"),
}
_FROM_PLAIN = ("is {new} in {ink}", "has a {new} pattern in {ink}", "is not plain but {new} in {ink}")
_NO_LOGO = ("has no logo", "without the {old}", "the {old} is gone")
_PLAIN = ("is plain", "has no pattern", "is plain and not {old}")


@dataclasses.dataclass(frozen=True)
class Garment:
    """One garment, alone on a light ground. detail seeds what no caption says."""

    kind: str
    colour: str
    pattern: str
    ink: str
    sleeves: str
    length: str
    logo: str
    detail: int = 0

    def key(self) -> tuple:
        """Everything that can be seen and said; the ink of a plain garment cannot."""
        ink = "" if self.pattern == "plain" else self.ink
        return (self.kind, self.colour, self.pattern, ink, self.sleeves, self.length, self.logo)


def random_garment(rng: random.Random, kind: str) -> Garment:
    values = {name: rng.choice(options) for name, options in ATTRIBUTES.items() if name != "ink"}
    ink = rng.choice([i for i in ATTRIBUTES["ink"] if i != values["colour"]])
    return Garment(kind=kind, ink=ink, **values, detail=rng.getrandbits(32))


def describe(garment: Garment) -> str:
    """A caption that names every attribute but the detail."""
    pattern = "" if garment.pattern == "plain" else f" {garment.pattern} in {garment.ink}"
    logo = "" if garment.logo == "none" else f" and {article(garment.logo)} on it"
    return f"a {garment.length} {garment.colour} {NOUNS[garment.kind]}{pattern} with {garment.sleeves} sleeves{logo}"


def random_edit(garment: Garment, rng: random.Random) -> tuple[Garment, tuple[str, str]]:
    """One or two attributes changed and the two captions, as by two annotators.

    With two changes each caption tells one of them; with one change both tell it, in different words.
    """
    count = rng.randint(1, 2)
    names = [n for n in ATTRIBUTES if n != "ink" or garment.pattern != "plain"]
    # One of the two may make the garment plain; then a change of ink could not be seen.
    names = rng.sample([n for n in names if not (count == 2 and n == "ink")], count)
    changes, captions = {"detail": rng.getrandbits(32)}, []
    for name in names:
        old = getattr(garment, name)
        banned = {old, garment.ink if name == "colour" else garment.colour if name == "ink" else old}
        new = rng.choice([v for v in ATTRIBUTES[name] if v not in banned])
        phrases = _NO_LOGO if new == "none" else _PLAIN if new == "plain" else _PHRASES[name]
        if name == "pattern" and old == "plain":  # a caption of the reference does not tell the ink
            phrases = _FROM_PLAIN
        noun, ink = NOUNS[garment.kind], garment.ink
        words = {"new": new, "old": old, "noun": noun, "pattern": garment.pattern, "a_new": article(new), "ink": ink}
        captions += [p.format(**words) for p in rng.sample(phrases, 2 if count == 1 else 1)]
        changes[name] = new
    return dataclasses.replace(garment, **changes), (captions[0], captions[1])
