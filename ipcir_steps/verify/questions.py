"""Judges (b) and (c): what a chat model is asked, and how its answers are read."""

import concurrent.futures
import json
import math
from collections.abc import Sequence

from ipcir_steps.config.verification import Judging
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import digest
from ipcir_steps.core.images import scaled
from ipcir_steps.verify.asked import Asked, Pictures
from ipcir_steps.verify.chat import Engine
from ipcir_steps.verify.pictures import grid

LONGEST, OBJECTS = 20_000, 50  # characters of an answer that are read, and objects that are tried in it
WANTED = "Somebody looks for a picture like the first one, but changed: {change}.{described}"
DESCRIBED = " The picture that they want might be described so: {captions}."
YES_NO = f"{WANTED} Is the second picture what they want? Answer yes or no."
GRID = (
    f"{WANTED} The second picture shows {{count}} candidates, each below its number. Order the numbers, the candidate "
    'that comes closest to what they want first. Answer with JSON: {{"order": [numbers]}}.'
)


class _Question:
    """What both judges share: the request, and the identity of the judge."""

    text: str
    together: bool

    def __init__(self, settings: Judging, engine: Engine):
        self._settings, self._engine = settings, engine
        self.digest = digest([type(self).__name__, self.text, settings.longest, engine.identity])

    def request(self, asked: Asked, pictures: Pictures) -> list:
        return [pictures.digest(asked.query.reference), asked.query.caption, self._captions(asked)]

    def _captions(self, asked: Asked) -> list[str]:
        return list(dict.fromkeys(asked.captions))[: self._settings.captions]

    def _asking(self, asked: Asked, **more: object) -> str:
        captions = "; ".join(caption.strip().rstrip(".") for caption in self._captions(asked))
        described = DESCRIBED.format(captions=captions) if captions else ""
        return self.text.format(change=asked.query.caption.strip().rstrip("."), described=described, **more)


class YesNo(_Question):
    """Judge (b): reference and candidate side by side; log-odds of yes against no in the first token of the answer."""

    text, together = YES_NO, False

    def values(self, asked: Asked, names: Sequence[str], pictures: Pictures) -> list[float | StepFailure]:
        reference, text = scaled(pictures.open(asked.query.reference), self._settings.longest), self._asking(asked)

        def one(name: str) -> float | StepFailure:
            try:
                candidate = scaled(pictures.open(name), self._settings.longest)
                return self._engine.odds([reference, candidate], text)
            except StepFailure as failure:
                return failure

        with concurrent.futures.ThreadPoolExecutor(self._engine.side_by_side) as pool:
            return list(pool.map(one, names))


class Grid(_Question):
    """Judge (c): all candidates numbered in one picture; the log-odds of the one at place p of the answer are -ln p."""

    text, together = GRID, True

    def values(self, asked: Asked, names: Sequence[str], pictures: Pictures) -> list[float | StepFailure]:
        longest = self._settings.longest
        try:
            reference = scaled(pictures.open(asked.query.reference), longest)
            sheet = grid([pictures.open(name) for name in names], 2 * longest)
            text = self._asking(asked, count=len(names))
            answer = self._engine.answer([reference, sheet], text, schema(len(names)))
            return [-math.log(place) for place in places(answer, len(names))]
        except StepFailure as failure:
            return [failure] * len(names)


def schema(count: int) -> dict:
    """Of an answer that orders ``count`` candidates. Whether numbers repeat, no schema of the engines can say."""
    numbers = {"type": "array", "items": {"type": "integer", "enum": list(range(1, count + 1))}}
    order = {**numbers, "minItems": 1, "maxItems": count}
    return {"type": "object", "properties": {"order": order}, "required": ["order"], "additionalProperties": False}


def places(answer: str, count: int) -> list[float]:
    """The place of each candidate, from 1. Numbers after their first mention do not count; candidates that are not
    mentioned share the mean of the places that are left.

    Raises StepFailure for an answer without a JSON object whose ``order`` is a list of numbers from 1 to ``count``.

    >>> places('Sure: {"order": [3, 1, 3]}', 4)
    [2.0, 3.5, 1.0, 3.5]
    """
    order = _order(answer)
    if not order or any(type(number) is not int or not 1 <= number <= count for number in order):
        raise StepFailure(f"the answer is no order of 1 to {count}: {answer[:80]!r}")
    mentioned = list(dict.fromkeys(order))
    rest = (len(mentioned) + 1 + count) / 2
    return [float(mentioned.index(n) + 1) if n in mentioned else rest for n in range(1, count + 1)]


def _order(answer: str) -> list | None:
    """``order`` of the first JSON object in an answer that has it as a list."""
    decoder, answer = json.JSONDecoder(), answer[:LONGEST]
    start = answer.find("{")
    for _ in range(OBJECTS):
        if start < 0:
            return None
        try:
            value, _ = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and isinstance(value.get("order"), list):
            return value["order"]
        start = answer.find("{", start + 1)
    return None
