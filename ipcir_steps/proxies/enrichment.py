"""Nudge planned boxes towards the statistics of their category and away from each other (IP-CIR, layout enrichment).

Reproducible: the random part depends on the task's first seed only.
"""

import dataclasses
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pydantic

from ipcir_steps.errors import InputError
from ipcir_steps.files import read_json, seed
from ipcir_steps.proxies.generator import Instance, Task

Box = tuple[float, float, float, float]

AREAS = ((0.005, 0.0225), (0.0225, 0.09), (0.09, 0.25), (0.25, 0.36), (0.36, 0.56))  # of the image, size rating 1-5
TRIES = 10


class Statistics(pydantic.BaseModel):
    """Boxes of one category: mean width as a fraction of the image, mean width / height."""

    model_config = pydantic.ConfigDict(extra="ignore", allow_inf_nan=False)

    length_mean: float = pydantic.Field(gt=0, le=1)
    aspect_ratio_mean: float = pydantic.Field(gt=0)


def read_statistics(path: str | Path) -> dict[str, dict[str, float]]:
    """{category: {"length_mean", "aspect_ratio_mean"}}. Raises InputError naming the category that is malformed."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise InputError("is not an object of categories", file=path)
    result = {}
    for category, entry in values.items():
        try:
            result[category] = Statistics.model_validate(entry).model_dump()
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or None
            raise InputError(first["msg"], file=path, record=category, field=field) from error
    return result


def enrich(task: Task, statistics: Mapping[str, Mapping[str, float]]) -> Task:
    """The same task with nudged boxes, each still inside the image."""
    source = random.Random(seed("enrich", task.seeds[0]))
    instances = list(task.instances)
    for number, instance in enumerate(instances):
        others = [other.box for other in instances[:number] + instances[number + 1 :]]
        width, height = resize(instance, statistics.get(instance.category), source)
        box = place(instance.box, width, height, others, source)
        instances[number] = dataclasses.replace(instance, box=box)
    return dataclasses.replace(task, instances=tuple(instances))


def resize(instance: Instance, known: Mapping[str, float] | None, source: random.Random) -> tuple[float, float]:
    """New width and height. Larger size ratings follow the statistics more; unknown categories follow their rating."""
    x1, y1, x2, y2 = instance.box
    width, ratio = x2 - x1, (x2 - x1) / (y2 - y1)
    rating = min(max(round(instance.size), 1), 5)
    if known is None:
        low, high = AREAS[rating - 1]
        grow = 1 if width * width / ratio < (low + high) / 2 else -1
        width *= math.sqrt(1 + grow * source.uniform(0, 0.25))
    else:
        trust = rating / 5
        width += trust * source.uniform(0.1, 0.3) * (known["length_mean"] - width)
        ratio += trust * source.uniform(0.7, 0.8) * (known["aspect_ratio_mean"] - ratio)
    scale = min(1.0, 1 / width, ratio / width)
    return width * scale, width * scale / ratio


def place(box: Box, width: float, height: float, others: Sequence[Box], source: random.Random) -> Box:
    """A box of the new size near the old centre: of a few small shifts, the one that overlaps the others least."""
    x, y = (box[0] + box[2] - width) / 2, (box[1] + box[3] - height) / 2
    shifts = [(0.0, 0.0)]
    shifts += [(source.uniform(-0.1, 0.1) * width, source.uniform(-0.1, 0.1) * height) for _ in range(TRIES)]
    candidates = [inside_image(x + dx, y + dy, width, height) for dx, dy in shifts]
    return min(candidates, key=lambda candidate: sum(overlap(candidate, other) for other in others))


def inside_image(x: float, y: float, width: float, height: float) -> Box:
    x, y = min(max(x, 0.0), 1 - width), min(max(y, 0.0), 1 - height)
    return max(x, 0.0), max(y, 0.0), min(x + width, 1.0), min(y + height, 1.0)


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    shared = overlap(a, b)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0
