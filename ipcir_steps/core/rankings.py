"""Ranked lists on disk: one parquet table per variant."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import atomic


class Places(Sequence):
    """The first images of a list, and those that were looked for below them: None at every place between."""

    def __init__(self, places: Iterable[tuple[int, str]]):
        """places: (place from 1, image) in rising order."""
        self._at = {place - 1: image for place, image in places}
        self._length = max(self._at, default=-1) + 1

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key):
        if isinstance(key, slice):
            return [self._at.get(place) for place in range(*key.indices(self._length))]
        return self._at.get(range(self._length)[key])

    def __iter__(self) -> Iterator[str | None]:
        return (self._at.get(place) for place in range(self._length))


Entry = tuple[str, float] | tuple[str, float, int]  # image, score, and its place where that does not follow


def ranked(entries: Iterable[Entry]) -> Iterator[tuple[int, str, float]]:
    """(place from 1, image, score).

    >>> list(ranked([("a", 0.9), ("b", 0.5, 7)]))
    [(1, 'a', 0.9), (7, 'b', 0.5)]
    """
    for number, (image, score, *place) in enumerate(entries, 1):
        yield place[0] if place else number, image, score


def names_by_place(places: Sequence[tuple[int, str]]) -> Sequence[str | None]:
    """The images by their place: a list where no place is left out, else ``Places``."""
    if places and places[-1][0] > len(places):
        return Places(places)
    return [image for _, image in places]


def write_rankings(path: str | Path, rows: Iterable[tuple[str, Sequence[Entry]]], about: dict) -> None:
    """Columns query_id, rank (1…), image, score (float32); ``about`` as metadata. Same rows, same bytes.

    rows: (query id, [(image, score)], best first); a third value is the place of an image below the end of the list.
    """
    import pyarrow as pa
    from pyarrow import parquet

    flat = [(query, rank, image, score) for query, filled in rows for rank, image, score in ranked(filled)]
    columns = list(zip(*flat, strict=True)) or [(), (), (), ()]
    types = {"query_id": pa.string(), "rank": pa.int32(), "image": pa.string(), "score": pa.float32()}
    schema = pa.schema(list(types.items()), metadata={"ipcir": json.dumps(about, sort_keys=True)})
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types.values(), strict=True)]
    with atomic(path) as temporary:
        parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), temporary, compression="zstd")


def read_rankings(path: str | Path) -> dict[str, Sequence[str | None]]:
    """{query_id: image names by rank} from a rankings parquet, or from a server-style JSON object of lists.

    None stands at a place that was not recorded (lists of a benchmark whose card says ``whole``).
    """
    path = Path(path)
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): [str(name) for name in names] for key, names in content.items() if isinstance(names, list)}
    rankings: dict[str, list[tuple[int, str]]] = {}
    for query_id, rank, image in _rows(path, "query_id", "rank", "image"):
        rankings.setdefault(query_id, []).append((rank, image))
    return {query_id: names_by_place(places) for query_id, places in rankings.items()}


def read_scores(path: str | Path) -> dict[str, list[tuple[str, float]]]:
    """{query_id: [(image, score)], best first} of a rankings parquet; of a server-style JSON the score is 1 / place."""
    if Path(path).suffix == ".json":
        lists = read_rankings(path)
        return {key: [(name, 1 / place) for place, name in enumerate(names, 1)] for key, names in lists.items()}
    return {query_id: [(image, score) for image, score, *_ in found] for query_id, found in read_scored(path).items()}


def read_scored(path: str | Path) -> dict[str, list[Entry]]:
    """{query_id: (image, score) by rank} of a rankings parquet, with the place of images below the end of the list."""
    rows: dict[str, list[tuple[str, float, int]]] = {}
    for query_id, rank, image, score in _rows(Path(path), "query_id", "rank", "image", "score"):
        rows.setdefault(query_id, []).append((image, score, rank))
    gaps = {query_id for query_id, found in rows.items() if found[-1][2] > len(found)}
    return {query_id: found if query_id in gaps else [row[:2] for row in found] for query_id, found in rows.items()}


def about_rankings(path: str | Path) -> dict:
    """What ``write_rankings`` was told about a rankings parquet; empty for a server-style JSON."""
    from pyarrow import parquet

    if Path(path).suffix == ".json":
        return {}
    return json.loads((parquet.read_schema(path).metadata or {}).get(b"ipcir", b"{}"))


def _rows(path: Path, *names: str) -> Iterator[tuple]:
    """Columns of a rankings parquet, query_id and rank among them, row by row by query and place. Raises InputError."""
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=list(names))
    except FileNotFoundError:
        raise InputError("does not exist", file=path) from None
    except (OSError, ValueError, KeyError) as error:
        remedy = "Delete it and run again to rebuild it."
        raise InputError(f"is not a rankings file ({error})", file=path, remedy=remedy) from error
    table = table.sort_by([("query_id", "ascending"), ("rank", "ascending")])
    return zip(*(table[name].to_pylist() for name in names), strict=True)
