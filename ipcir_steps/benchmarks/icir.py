"""i-CIR (Psomas et al., NeurIPS 2025): ``{query,database}_files.csv``, image, text and instance a line."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from ipcir_steps.benchmarks.annotations import annotation_file
from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import used
from ipcir_steps.core.records import Image, Query
from ipcir_steps.core.scores import PerQuery, Rankings, mean, pairs

SOURCE = "https://github.com/billpsomas/icir"
QUERIES, DATABASE = "query_files.csv", "database_files.csv"
SPLIT = "all"
STEP = 1e-5  # the official code adds it to the number of right images, so a perfect list scores a little below 1


def read(settings: Source, split: str) -> tuple[list[Query], list[Image]]:
    """Queries (id = number of the line) and the database; each instance has a gallery of its own.

    Right for a query is what its instance's part of the database lists under the same text. Images are named by their
    path; one that an instance lists again is another image of its gallery, as in the official evaluation. Raises
    InputError for a split other than ``all``, a line that is no image, text and instance, or a query without target.
    """
    root = Path(settings.root)
    if split != SPLIT:
        raise InputError(f"has no split {split!r}", file=root, field="split", remedy=f"Set split to {SPLIT}.")
    images: dict[str, Image] = {}
    right: dict[tuple[str, str], list[str]] = {}
    for path, text, instance in _lines(root, DATABASE):
        name = path
        while name in images and instance in images[name].categories:
            name += "+"
        pools = (*images[name].categories, instance) if name in images else (instance,)
        images[name] = Image(name, path, categories=pools)
        right.setdefault((instance, text), []).append(name)
    queries = []
    for number, (path, text, instance) in enumerate(_lines(root, QUERIES), 1):
        targets = tuple(right.get((instance, text), ()))
        if not targets:
            problem = f"{instance} has no image of {text!r} in {DATABASE}"
            raise InputError(problem, file=root / QUERIES, record=number, field="text")
        queries.append(Query(str(number), path, (text,), targets, pool=instance))
    return queries, list(images.values())


def _lines(root: Path, name: str) -> Iterator[tuple[str, str, str]]:
    """(path below the root, text, instance). The official files name paths from the directory that icir/ lies in."""
    path = annotation_file(root, name, SOURCE)
    with open(used(path), newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if len(row) < 3 or not all(field.strip() for field in (row[0], row[2])):
                raise InputError("is not image,text,instance", file=path, record=number)
            yield row[0].removeprefix("./").removeprefix("icir/"), row[1], row[2].strip()


def average_precision(ranking: Sequence[str | None], right: Sequence[str]) -> float:
    """Area under the precision-recall curve by trapezoids, over the whole list: what i-CIR reports.

    At the n-th right image (from 1), at place r (from 1), the precision before it, (n - 1) / (r - 1) or 1 in the first
    place, and with it, n / r, are averaged; each counts 1 / (number of right images + 1e-5).

    >>> round(average_precision(["a", "x", "b"], ["a", "b"]), 4)
    0.7917
    """
    found, area, sought = 0, 0.0, set(right)
    for place, name in enumerate(ranking, 1):
        if name in sought:
            before = found / (place - 1) if place > 1 else 1.0
            found += 1
            area += (before + found / place) / 2
    return area / (len(sought) + STEP)


def per_query(rankings: Rankings, queries: Sequence[Query]) -> PerQuery:
    return {
        query.query_id: {"mAP": average_precision(ranking, query.targets)}
        for query, ranking in pairs(rankings, queries)
    }


def total(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """mAP over the queries; mmAP and minmAP: the mean and the least of each instance's queries, averaged."""
    values = per_query(rankings, queries)
    instances: dict[str | None, list[float]] = {}
    for query in queries:
        instances.setdefault(query.pool, []).append(values[query.query_id]["mAP"])
    means, least = ([of(found) for found in instances.values()] for of in (_mean, min))
    return mean(values) | {"mmAP": _mean(means), "minmAP": _mean(least)}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


BENCHMARK = Benchmark(
    read,
    per_query,
    total,
    rules="iCIR: AP by trapezoids over the whole gallery of the instance; mAP over queries, mmAP over instances",
    headline=("mAP", "mmAP", "minmAP"),
    tuned_by="mAP",
    columns=("mAP", "mmAP", "minmAP"),
    whole=True,
)
