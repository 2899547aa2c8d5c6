"""Queries that are also scored by themselves: id lists, such as CIRCO's queries that no single modality solves."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, used
from ipcir_steps.core.marks import marks_of
from ipcir_steps.core.records import Query


def read_ids(path: Path) -> list[str]:
    """Query ids, one a line (empty lines and those that begin with # are left out) or as a JSON list.

    Raises InputError for a file without ids, an id that stands there twice, and JSON that is no list of ids.
    """
    ids = _of_json(path) if path.suffix == ".json" else _of_lines(path)
    if not ids:
        raise InputError("holds no query ids", file=path, remedy="Write one id a line.")
    seen: set[str] = set()
    for query_id in ids:
        if query_id in seen:
            raise InputError("the query id appears twice", file=path, record=query_id)
        seen.add(query_id)
    return ids


def _of_lines(path: Path) -> list[str]:
    try:
        text = used(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("does not exist", file=path, remedy="Correct datasets.NAME.subsets.") from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _of_json(path: Path) -> list[str]:
    content = read_json(path)
    if not isinstance(content, list) or not all(type(query_id) in (str, int) for query_id in content):
        raise InputError("is not a list of query ids", file=path)
    return [str(query_id) for query_id in content]


def chosen(queries: Sequence[Query], ids: Iterable[str], path: Path) -> list[Query]:
    """The queries of a subset, in their own order. Raises InputError for an id that no query has."""
    wanted, known = set(ids), {query.query_id for query in queries}
    if unknown := sorted(wanted - known):
        remedy = "The ids are those of queries.jsonl of the same split."
        raise InputError("is no query of this split", file=path, record=unknown[0], remedy=remedy)
    return [query for query in queries if query.query_id in wanted]


def view(result: Mapping, name: str) -> dict:
    """A subset of a result file in the form of a result file, named after both; published values are of all queries."""
    subset = result["subsets"][name]
    return {
        **{key: value for key, value in result.items() if key != "subsets"},
        "dataset": f"{result['dataset']}, subset {name}",
        "caution": _joined(result.get("caution"), f"subset {name}: {subset['queries']} of {result['queries']} queries"),
        "queries": subset["queries"],
        "failures": subset["failures"],
        "entries": [
            {key: value for key, value in {**entry, **measured, "published": {}}.items() if key != "paraphrases"}
            for entry, measured in zip(result["entries"], subset["entries"], strict=True)
        ],
    }


def views(results: Iterable[Mapping]) -> list[Mapping]:
    """Every result file, each followed by its subsets."""
    return [one for result in results for one in (result, *(view(result, name) for name in result.get("subsets", {})))]


def cautions_of(result: Mapping) -> str | None:
    """What stands beside all numbers of a result file: its mark, another protocol, a subset. None: nothing."""
    return _joined(marks_of([result]), result.get("caution")) or None


def _joined(*texts: str | None) -> str:
    return "; ".join(filter(None, texts))
