"""Results of the literature, each with its protocol and its source: ``published.csv``, and its one reader.

A row is one result: a method with a backbone on a benchmark, all metrics that the source gives. What a source does not
say is "not stated" in the row, never guessed.
"""

import csv
import dataclasses
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import used

PAPER = "Li, Ma, Yang: Imagine and Seek (CVPR 2025), arXiv:2411.16752v2"  # its tables stand beside a run's numbers
UNKNOWN = "not stated"
MAY_BE_EMPTY = ("variant", "reproduces", "note")


@dataclasses.dataclass(frozen=True)
class Reported:
    """One result of the literature.

    id: unique; "benchmark/method/backbone" and what tells it from others.
    method: a baseline of this workflow by its name here, or the method's own name. variant: one of this workflow's.
    backbone: its name in this workflow, where it has one; two joined by " or " where the source does not say which.
    encoder: model and weights, as exactly as is known. values: {metric: percent, as the source writes it}.
    text: what the text side reads. gallery: what is searched. reference: whether it is kept in the gallery.
    training: what the method was trained on. judged: whether a model looks at the results and puts them in a new order
    ("yes", "no"). run_by: whose run it is. source: paper and table, or file.
    read_in: address where the number was read, or what was read. reproduces: id of the result that it repeats.
    """

    id: str
    benchmark: str
    split: str
    method: str
    variant: str
    year: str
    venue: str
    backbone: str
    encoder: str
    values: dict[str, str]
    text: str
    gallery: str
    reference: str
    training: str
    judged: str
    run_by: str
    source: str
    read_in: str
    reproduces: str
    note: str

    @property
    def backbones(self) -> list[str]:
        return self.backbone.split(" or ")


COLUMNS = tuple(field.name for field in dataclasses.fields(Reported))


def read_reported(*more: Path) -> list[Reported]:
    """The results that come with the package, in the order of the file, and those of further files of the same columns.

    Raises InputError for a file with other columns, an empty field, a number that is no percentage, an id that stands
    there twice, and a reproduction of nothing.
    """
    found: dict[str, Reported] = {}
    places: dict[str, tuple[Path, int]] = {}
    with resources.as_file(resources.files("ipcir_steps.evaluate") / "published.csv") as own:
        for path in (own, *(used(path) for path in more)):
            for number, row in _rows(path):
                if row.id in found:
                    raise InputError("the id stands there twice", file=path, record=number, field="id")
                found[row.id], places[row.id] = row, (path, number)
    for row in found.values():
        _check_reproduction(row, found, *places[row.id])
    return list(found.values())


def _rows(path: Path) -> Iterator[tuple[int, Reported]]:
    """(line, row) of a file."""
    with open(path, newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError("has other columns", file=path, remedy=f"They are {', '.join(COLUMNS)}.")
        for row in reader:
            yield reader.line_num, _row(row, path, reader.line_num)


def _row(row: dict, path: Path, number: int) -> Reported:
    if None in row or None in row.values():
        raise InputError(f"does not have {len(COLUMNS)} fields", file=path, record=number)
    for name, value in row.items():
        if not value.strip() and name not in MAY_BE_EMPTY:
            raise InputError("is empty", file=path, record=number, field=name, remedy=f'Write "{UNKNOWN}".')
    if row["benchmark"] not in BENCHMARKS:
        known = ", ".join(BENCHMARKS)
        raise InputError(f"is none of {known}", file=path, record=number, field="benchmark")
    return Reported(**{**row, "values": _values(row["values"], path, number)})


def _values(text: str, path: Path, number: int) -> dict[str, str]:
    """
    >>> _values("mAP@5=26.77 mAP@10=27.59", Path("x.csv"), 2)
    {'mAP@5': '26.77', 'mAP@10': '27.59'}
    """
    values = {}
    for pair in text.split():
        metric, sign, value = pair.rpartition("=")
        try:
            sound = bool(sign and metric) and metric not in values and 0 <= float(value) <= 100
        except ValueError:
            sound = False
        if not sound:
            raise InputError(
                f"{pair!r} is not METRIC=PERCENT, or the metric stands there twice",
                file=path, record=number, field="values",
            )  # fmt: skip
        values[metric] = value
    return values


def _check_reproduction(row: Reported, known: dict[str, Reported], path: Path, number: int) -> None:
    if not row.reproduces:
        return
    first = known.get(row.reproduces)
    if first is None or first.reproduces or first.benchmark != row.benchmark:
        raise InputError(
            "is no id of a row of the same benchmark that is no reproduction itself",
            file=path, record=number, field="reproduces",
        )  # fmt: skip


def read_published() -> dict:
    """{(dataset, backbone, baseline, variant): {metric: {"value": fraction, "source": …, "split": …}}}: what the tables
    of the IP-CIR paper give; where its "ViT-G/14" may be two backbones, for both."""
    table: dict = {}
    for row in read_reported():
        if not row.source.startswith(PAPER):
            continue
        for backbone in row.backbones:
            for metric, value in row.values.items():
                number = {"value": float(value) / 100, "source": row.source, "split": row.split}
                table.setdefault((row.benchmark, backbone, row.method, row.variant), {})[metric] = number
    return table
