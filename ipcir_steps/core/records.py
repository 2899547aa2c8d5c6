"""The records that steps hand to each other."""

import dataclasses
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_jsonl, write_jsonl


@dataclasses.dataclass(frozen=True)
class Query:
    """One composed query: a reference image plus one (FashionIQ: two) relative captions.

    targets: names of the right images, the annotated target first; None when hidden (test splits).
    group: CIRR image-set members without the reference, in the annotated order.
    category: what the benchmark averages over: FashionIQ garment type, GeneCIS task. aspects: CIRCO semantic aspects.
    pool: the gallery that it searches, where that is not its category's.
    request: what it asks for, by any name: queries of one request say the same in other words.
    negatives: PinPoint: images that are easily taken for targets, which the gallery need not have.
    """

    query_id: str
    reference: str
    captions: tuple[str, ...]
    targets: tuple[str, ...] | None = None
    group: tuple[str, ...] | None = None
    category: str | None = None
    aspects: tuple[str, ...] = ()
    pool: str | None = None
    request: str | None = None
    negatives: tuple[str, ...] = ()

    def __post_init__(self):
        for field in ("captions", "targets", "group", "aspects", "negatives"):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, tuple(value))

    @property
    def caption(self) -> str:
        """The relative captions as one sentence, FashionIQ's two joined with "and"."""
        return " and ".join(self.captions)

    @property
    def gallery(self) -> str | None:
        """Which part of the gallery it searches (a name in ``Image.categories``); None: all of it."""
        return self.pool or self.category


@dataclasses.dataclass(frozen=True)
class Image:
    """One image of a dataset. path is relative to the dataset root; sizes are pixels, None when absent.

    categories: the parts of the gallery that it belongs to (FashionIQ: category, GeneCIS and i-CIR: pool); empty where
    every query searches everything.
    """

    name: str
    path: str
    width: int | None = None
    height: int | None = None
    categories: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "categories", tuple(self.categories))


def as_dict(record) -> dict:
    """Field values without the unset ones, tuples as lists."""
    values = dataclasses.asdict(record)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None and v != ()}


def write_records(path: str | Path, records) -> None:
    write_jsonl(path, map(as_dict, records))


def read_queries(path: str | Path) -> list[Query]:
    """Raises InputError naming the line of a malformed or duplicate query."""
    return _read(path, Query, "query_id")


def read_images(path: str | Path) -> list[Image]:
    """Raises InputError naming the line of a malformed or duplicate image."""
    return _read(path, Image, "name")


def read_captions(path) -> dict[str, list[str]]:
    """{query id: captions} of a captions file."""
    return {record["query_id"]: record["captions"] for record in read_jsonl(path) if "captions" in record}


def _read(path, kind, key):
    records, seen = [], set()
    for number, values in enumerate(read_jsonl(path), 1):
        try:
            record = kind(**values)
        except TypeError as error:
            raise InputError(str(error).replace("__init__() ", ""), file=path, record=number) from error
        name = getattr(record, key)
        if name in seen:
            raise InputError(f"{name!r} appears twice", file=path, record=number, field=key)
        seen.add(name)
        records.append(record)
    return records
