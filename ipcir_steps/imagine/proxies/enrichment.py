"""Layout enrichment of IP-CIR: boxes are moved towards statistics of their category and away from each other.

Two rules. ``published`` is the one of the published code, number for number: its random draws come from numpy's
RandomState and Python's Random, here seeded with the task's first seed. ``mean`` moves every box towards the mean of
its category, which the published code does not for wide ones (see ``published_size``).
"""

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pydantic

from ipcir_steps.core.boxes import Box, clip, overlap
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, seed
from ipcir_steps.imagine.proxies.generator import Instance, Task

AREAS = ((0.005, 0.0225), (0.0225, 0.09), (0.09, 0.25), (0.25, 0.36), (0.36, 0.56))  # of the image, size rating 1-5
SAMPLES, RANGE = 100, (0.1, 0.7)  # draws from a category, and which of them the published code averages
TALLEST = 0.8  # of the image; a shape that makes a box taller is not used
TRIES = 10

Known = Mapping[str, float]
Resize = Callable[[Instance, Known | None, np.random.RandomState], tuple[float, float]]


class Statistics(pydantic.BaseModel):
    """Boxes of one category: width as a fraction of the image's, and width / height, with standard deviations."""

    model_config = pydantic.ConfigDict(extra="ignore", allow_inf_nan=False)

    length_mean: float = pydantic.Field(gt=0, le=1)
    length_std: float = pydantic.Field(ge=0)
    aspect_ratio_mean: float = pydantic.Field(gt=0)
    aspect_ratio_std: float = pydantic.Field(ge=0)


def read_statistics(path: str | Path) -> dict[str, dict[str, float]]:
    """{category: values of Statistics}. Raises InputError naming the category and field that are malformed."""
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


def enrich(task: Task, statistics: Mapping[str, Known], rule: str = "published") -> Task:
    """The same task with moved boxes, clipped to the image. rule: one of RULES."""
    boxes = nudge(task.instances, statistics, RULES[rule], seed("enrich", task.seeds[0]) % 2**32)
    pairs = zip(task.instances, boxes, strict=True)
    instances = tuple(dataclasses.replace(instance, box=clip(box)) for instance, box in pairs)
    return dataclasses.replace(task, instances=instances)


def nudge(instances: Sequence[Instance], statistics: Mapping[str, Known], resize: Resize, start: int) -> list[Box]:
    """New boxes, one instance after the other; each keeps away from the others as they are by then.

    A box may reach over the edge of the image. Instances with a region keep theirs. start: seed, 0 to 2**32 - 1.
    """
    numbers, shifts = np.random.RandomState(start), random.Random(start)
    boxes = [instance.box for instance in instances]
    for number, instance in enumerate(instances):
        if instance.region is not None:
            continue
        width, height = resize(instance, statistics.get(instance.category), numbers)
        boxes[number] = place(instance.box, width, height, boxes[:number] + boxes[number + 1 :], shifts)
    return boxes


def published_size(instance: Instance, known: Known | None, numbers: np.random.RandomState) -> tuple[float, float]:
    """New width and height by the published code.

    Of a known category 100 widths and 100 aspect ratios are drawn from normal distributions, and those in RANGE are
    averaged. The width goes 10-30 % of the way to the first average, the ratio 70-80 % to the second, unless the box
    would become taller than TALLEST. RANGE is made for widths: wide categories (a bed has 1.85) are so drawn to
    ratios below 0.7. The published code also means to scale both shares by size rating / 5, but an exception that it
    catches always prevents it. Where no draw is in RANGE it computes NaN; here the planned value stays.
    An unknown category grows or shrinks by up to 25 % of the width, towards the middle of the areas of its size
    rating, and its ratio moves away from 1 by up to 30 %.
    """
    width, ratio = shape(instance.box)
    if known is None:
        low, high = AREAS[rating(instance) - 1]
        grows = width * (width / ratio) < low + (high - low) * 0.5
        change = numbers.uniform(0.0, width * 0.25)
        stretch = numbers.uniform(0.0, 0.3)
        width = width + change if grows else width - change
        ratio = ratio * (1 + stretch) if ratio > 1 else ratio * (1 - stretch)
        return width, width / ratio
    usual_width = average(numbers.normal(known["length_mean"], known["length_std"], SAMPLES), width)
    usual_ratio = average(numbers.normal(known["aspect_ratio_mean"], known["aspect_ratio_std"], SAMPLES), ratio)
    share, width_share = numbers.uniform(0.7, 0.8), numbers.uniform(0.1, 0.3)
    width = width_share * usual_width + (1 - width_share) * width
    new_ratio = share * usual_ratio + (1 - share) * ratio
    if width / new_ratio > TALLEST:
        new_ratio = ratio
    return width, width / new_ratio


def mean_size(instance: Instance, known: Known | None, numbers: np.random.RandomState) -> tuple[float, float]:
    """As ``published_size``, with the means themselves in place of the averages, both shares scaled by size rating / 5,
    and no box larger than the image."""
    width, ratio = shape(instance.box)
    if known is None:
        width, height = published_size(instance, known, numbers)
        ratio = width / height
    else:
        trust = rating(instance) / 5
        ratio += trust * numbers.uniform(0.7, 0.8) * (known["aspect_ratio_mean"] - ratio)
        width += trust * numbers.uniform(0.1, 0.3) * (known["length_mean"] - width)
    width *= min(1.0, 1 / width, ratio / width)
    return width, width / ratio


RULES: dict[str, Resize] = {"published": published_size, "mean": mean_size}


def shape(box: Box) -> tuple[float, float]:
    """Width, and width / height."""
    return box[2] - box[0], (box[2] - box[0]) / (box[3] - box[1])


def rating(instance: Instance) -> int:
    return min(max(round(instance.size), 1), 5)


def average(drawn: np.ndarray, otherwise: float) -> float:
    kept = drawn[(drawn >= RANGE[0]) & (drawn <= RANGE[1])]
    return float(kept.mean()) if len(kept) else otherwise


def place(box: Box, width: float, height: float, others: Sequence[Box], shifts: random.Random) -> Box:
    """A box of the new size at the old centre, or of ten shifted ones the first that overlaps the others least.

    As published, shifts are a tenth of random distances within the image and start from the old top left corner, and
    a shifted box stays inside the image.
    """
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    centred = best = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    least = total_overlap(centred, others)
    for _ in range(TRIES):
        x = box[0] + shifts.uniform(-centred[0], 1 - centred[2]) * 0.1
        y = box[1] + shifts.uniform(-centred[1], 1 - centred[3]) * 0.1
        x, y = max(0, min(x, 1 - width)), max(0, min(y, 1 - height))
        shifted = (x, y, x + width, y + height)
        if total_overlap(shifted, others) < least:
            best, least = shifted, total_overlap(shifted, others)
    return best


def total_overlap(box: Box, others: Sequence[Box]) -> float:
    return sum(overlap(box, other) for other in others)
