"""Stacks: named, complete sets of models, backbones, prompts and generation settings.

The built-in ones are the files in ``stacks/``. A configuration may change any of their settings under ``stacks.NAME``,
or name a new stack that ``extends`` another.
"""

import functools
from pathlib import Path

import pydantic
import yaml
from pydantic import Field

from ipcir_steps.config.base import Section, later
from ipcir_steps.config.baselines import LDRE, Inversion, Joint, Sum
from ipcir_steps.config.data import MINI, Backbone, Model, Name
from ipcir_steps.config.generation import Proxies, generator_of, generator_roles
from ipcir_steps.config.language import Layouts, Reasoning
from ipcir_steps.config.vision import Captions, Embeddings, Masks
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import digest

HERE = Path(__file__).parent / "stacks"


class Stack(Section):
    """A complete set of models, backbones, prompts and generation settings under one name."""

    description: str = Field("", description="what it is for, in a sentence")
    extends: Name | None = Field(None, description="stack whose settings hold where this one gives none")
    toy: bool = Field(False, description="its models know a toy world only: on other images every output is marked")
    backbones: list[Name] = Field(min_length=1, description="CLIP backbones to evaluate, by their names in clip")
    models: dict[Name, Model] = Field(description="models by role")
    clip: dict[Name, Backbone] = Field(description="CLIP backbones by name")
    mappings: dict[Name, dict[Name, Model]] = Field(
        {}, description="mapping networks by baseline (searle, lincir, pic2word) and backbone"
    )
    captions: Captions = Field(Captions(), description="source captions (captioner)")
    reasoning: Reasoning = Field(Reasoning(), description="target captions (llm)")
    layouts: Layouts = Field(Layouts(), description="layouts (llm)")
    masks: Masks = Field(Masks(), description="reference-instance masks (detector, segmenter)")
    proxies: Proxies = Field(Proxies(generator="migc"), description="imagined proxy images")
    embeddings: Embeddings = Field(Embeddings(), description="CLIP features")
    ldre: LDRE = Field(LDRE(), description="LDRE's caption ensemble")
    image_text: Sum = later(Sum(), description="image + text")
    joint: Joint = later(Joint(), description="image and text read together by one model")
    searle_oti: Inversion = Field(Inversion(), description="SEARLE-OTI: the word of each reference is optimised")

    @pydantic.model_validator(mode="after")
    def _backbones_are_known(self) -> "Stack":
        for name in self.backbones:
            if name not in self.clip:
                raise ValueError(f"backbones: unknown name {name!r} (known: {', '.join(self.clip)})")
        return self

    def roles_in_use(self) -> list[str]:
        """The models that the configured steps read. Raises InputError naming a role that the generator lacks."""
        unused = generator_of(self.proxies).unused
        asking = [self.reasoning] + ([] if "layouts" in unused else [self.layouts])
        roles = ["captioner", *(["llm"] if any(not step.remote for step in asking) else [])]
        roles += [] if "masks" in unused else ["detector", "segmenter"]
        return list(dict.fromkeys([*roles, *generator_roles(self.proxies, self.models)]))

    @property
    def has_toys(self) -> bool:
        """Whether any of its models is one of the mini world's, whatever the stack says of itself."""
        models = [
            *self.models.values(),
            *self.clip.values(),
            *(m for of in self.mappings.values() for m in of.values()),
        ]
        return self.toy or any(model.source.startswith(f"{MINI}/") for model in models)

    @property
    def digest(self) -> str:
        """sha256 of every setting: what a result was made with, whatever the stack is called."""
        return digest(self.model_dump(mode="json", exclude={"description", "extends"}))


@functools.cache
def builtin() -> dict[str, dict]:
    """The settings of the built-in stacks as their files have them, by name."""
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("*.yaml"))}


def resolve(given: dict[str, dict]) -> dict[str, dict]:
    """The settings of every stack, whole: built-in ones with the given changes, and those that extend another.

    Raises InputError naming the stack for one that extends nothing that is known, or itself.
    """
    known = builtin()
    raw = {name: merged(known.get(name, {}), given.get(name) or {}) for name in [*known, *given]}
    return {name: _whole(raw, name, ()) for name in raw}


def _whole(raw: dict[str, dict], name: str, above: tuple[str, ...]) -> dict:
    settings, parent = raw[name], raw[name].get("extends")
    if parent is None:
        return settings
    where = {"file": "config.yaml", "record": f"stacks.{name}", "field": "extends"}
    if parent in (name, *above):
        raise InputError(f"stack {parent!r} extends itself", **where)
    if parent not in raw:
        raise InputError(f"there is no stack {parent!r}", **where, remedy=f"Known are {', '.join(raw)}.")
    return merged(_whole(raw, parent, (name, *above)), settings)


def merged(base: dict, update: dict) -> dict:
    """``update`` on top of ``base``, as Snakemake lays configuration files over each other.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    both = dict(base)
    for key, value in update.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if nested else value
    return both


def changes(base: dict, other: dict, path: str = "") -> list[str]:
    """Dotted keys whose values differ between two settings.

    >>> changes({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}})
    ['a.b']
    """
    found = []
    for key in sorted({*base, *other}):
        old, new = base.get(key), other.get(key)
        where = f"{path}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            found += changes(old, new, f"{where}.")
        elif old != new:
            found.append(where)
    return found
