"""One function per kind of file: yields what is wrong with it, in words."""

import hashlib
import json
import xml.etree.ElementTree
from collections.abc import Iterator
from pathlib import Path

from ipcir_steps.core.errors import IPCIRError
from ipcir_steps.core.features import load_features
from ipcir_steps.core.files import inside, read_json, read_jsonl, sha256
from ipcir_steps.core.journal import paths, read_lines
from ipcir_steps.core.paths import GALLERY, GALLERY_FEATURES, QUERIES, SHARD, Place

KEYS = ("query_id", "name", "reference")


def readable(path: Path) -> list[dict] | dict | None:
    """The content of a JSON file; None for other kinds. Raises IPCIRError (or what a library raises) when damaged."""
    if path.suffix == ".jsonl":
        records = read_jsonl(path)
        key = next((key for key in KEYS if records and key in records[0]), None)
        seen = set()
        for number, record in enumerate(records, 1):
            if key and (record.get(key) is None or record[key] in seen):
                raise IPCIRError(f"line {number}: '{key}' is missing or appears twice")
            seen.add(record.get(key))
        return records
    if path.suffix == ".json":
        return read_json(path)
    if path.suffix == ".safetensors":
        load_features(path)
    elif path.suffix == ".parquet":
        from pyarrow import parquet

        parquet.read_table(path)
    elif path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".svg":
        xml.etree.ElementTree.parse(path)
    return None


def opened(path: Path) -> str | None:
    """Why a file cannot be read, or None."""
    try:
        readable(path)
    except Exception as error:  # every library has its own; the file is damaged whichever it is
        return str(error).removeprefix(f"{path}: ").splitlines()[0] if str(error) else type(error).__name__
    return None


def features(path: Path, place: Place) -> Iterator[str]:
    """Rows that are not those of the queries or the gallery beside them."""
    template, key = (GALLERY, "name") if path == place.path(GALLERY_FEATURES) else (QUERIES, "query_id")
    beside = place.path(template)
    if beside.is_file():
        expected = [record[key] for record in read_jsonl(beside)]
        if list(load_features(path).names) != expected:
            yield f"its rows are not those of {beside.name}"


def rankings(path: Path, place: Place) -> Iterator[str]:
    """Lists of unknown queries, of unknown images, or with gaps that are not those before a target below their end."""
    from pyarrow import parquet

    read = parquet.read_table(path, columns=["query_id", "rank", "image"])
    whole = json.loads((read.schema.metadata or {}).get(b"ipcir", b"{}")).get("whole", False)
    table = read.to_pydict()
    for column, template, key in (("query_id", QUERIES, "query_id"), ("image", GALLERY, "name")):
        beside = place.path(template)
        known = {record[key] for record in read_jsonl(beside)} if beside.is_file() else set(table[column])
        if unknown := set(table[column]) - known:
            yield f"it ranks {'for ' if column == 'query_id' else ''}{min(unknown)!r}, which {beside.name} lacks"
    last: dict[str, int] = {}
    for query, rank in zip(table["query_id"], table["rank"], strict=True):
        following = last.get(query, 0) + 1
        if rank < following or (rank > following and not whole):
            yield f"the ranks of {query!r} have a gap"
            return
        last[query] = rank


def journaled(path: Path) -> Iterator[str]:
    """A finished shard whose records are not those of its journal."""
    _, kept = paths(path)
    if not kept.is_file():
        return
    with open(kept, "rb") as file:
        lines = [line for line, _ in read_lines(file)]
    records = [line[1] for line in lines if isinstance(line, list)]
    if not records:
        return
    found = read_jsonl(path)
    key = next(key for key in KEYS if key in records[0])
    known = {record[key]: record for record in records}
    for number, record in enumerate(found, 1):
        if known.get(record.get(key)) != record:
            yield f"record {number} is not the one that its journal holds"
            return


def gathered(path: Path, place: Place, step: str) -> Iterator[str]:
    """A gathered file whose records are not those of its step's shards."""
    shards = place.found(SHARD, step=step)
    if not shards:
        return
    try:
        if any(problem for shard in shards for problem in journaled(shard)):
            return  # reported there
        records = [record for shard in shards for record in read_jsonl(shard)]
        key = next((key for key in ("reference", "query_id") if records and key in records[0]), None)
        queries = {record["query_id"]: record for record in read_jsonl(place.path(QUERIES))}
    except (IPCIRError, KeyError):
        return  # that file is reported itself
    known: dict = {}
    for record in records:  # shards of an earlier division of the work may still be there
        if key in record:
            known.setdefault(record[key], []).append({k: v for k, v in record.items() if k != key})
    for number, record in enumerate(read_jsonl(path), 1):
        query = queries.get(record.get("query_id"), {})
        if {k: v for k, v in record.items() if k != "query_id"} not in known.get(query.get(key), []):
            yield f"record {number} is not the one that shards/{step} holds"
            return


def images(index: Path) -> Iterator[tuple[Path, str, str]]:
    """(image, its name in the index, what is wrong) of the proxy images that an index names."""
    for record in read_jsonl(index):
        for name, expected in zip(record.get("images", ()), record.get("sha256", ()), strict=True):
            path = inside(index.parent, name, file=index, record=record.get("query_id"), field="images")
            if not path.is_file():
                yield path, name, "is missing"
            elif sha256(path) != expected:
                yield path, name, "is not the image that the index names"


def recorded(directory: Path, record: Path) -> Iterator[tuple[Path, str]]:
    """(file, what is wrong) of the outputs that a step's record describes; absent files are no damage."""
    try:
        outputs = json.loads(record.read_text(encoding="utf-8"))["outputs"]
        entries = [(directory / entry["path"], entry) for entry in outputs if "files" not in entry]
    except (OSError, ValueError, KeyError, TypeError):
        yield record, "is not a record that can be read"
        return
    for path, entry in entries:
        if path.is_file() and _differs(path, entry):
            yield path, f"is not the file that its step wrote (sha256 {entry['sha256'][:12]}… in its record)"


def _differs(path: Path, entry: dict) -> bool:
    if "bytes" in entry and path.stat().st_size != entry["bytes"]:
        return True
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]


def lines_of(part: Path) -> tuple[int, int]:
    """(intact lines, damaged bytes behind them) of an unfinished journal."""
    with open(part, "rb") as file:
        found = [end for _, end in read_lines(file)]
    return len(found), part.stat().st_size - (found[-1] if found else 0)
