"""What the engines that decode many queries side by side have in common: blocks, the cache, a seed per answer."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import digest, seed
from ipcir_steps.imagine.llm import Group
from ipcir_steps.imagine.llm.pictures import Picture, identity


@dataclasses.dataclass(frozen=True)
class Request:
    """One conversation to answer under its own seed, under the JSON schema and about the picture where there is one."""

    conversation: list[dict[str, str]]
    seed: int
    schema: dict | None
    picture: Picture | None = None


class Engine(Protocol):
    """Answers all requests in one go; tokens: generated so far."""

    tokens: int

    def decode(self, requests: Sequence[Request]) -> list[str]: ...

    def share(self, other) -> None: ...


class Batched:
    """Backend over an engine whose answers may depend, in their last bits, on what else it decodes with them.

    ``width`` queries at a time are therefore decoded whole as soon as one of them is not in the cache, in every run and
    with any number of shards. identity: JSON value that tells this model and these settings from others.
    """

    together = True

    def __init__(self, engine: Engine, cache: Cache, width: int, identity: list):
        self.engine, self.cache, self.width, self.digest = engine, cache, width, digest([*identity, width])

    def share(self, other: "Batched") -> None:
        """Use the weights of a backend of the same model and engine options, once it has loaded them."""
        self.engine.share(other.engine)

    @property
    def tokens(self) -> int:
        return self.engine.tokens

    def answer(self, groups: Sequence[Group]) -> list[list[str] | StepFailure]:
        keys = [[self.digest, self._asked(group), group.seed] for group in groups]
        known = [self.cache.get(key) for key in keys]
        if any(answers is None for answers in known):
            requests = [
                Request(c, seed(g.seed, n), g.schema, g.picture) for g in groups for n, c in enumerate(g.conversations)
            ]
            texts = iter(self.engine.decode(requests))
            made = [[next(texts) for _ in group.conversations] for group in groups]
            for number, key in enumerate(keys):
                if known[number] is None:
                    known[number] = made[number]
                    self.cache.put(key, made[number])
        return known

    @staticmethod
    def _asked(group: Group) -> str:
        return digest([group.conversations, group.schema, *identity(group.picture)])
