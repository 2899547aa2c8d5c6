"""Ranked lists on disk: one parquet table per variant."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import atomic


def write_rankings(path: str | Path, rows: Iterable[tuple[str, Sequence[tuple[str, float]]]], about: dict) -> None:
    """Columns query_id, rank (1…), image, score (float32); ``about`` as metadata. Same rows, same bytes.

    rows: (query id, [(image, score)], best first).
    """
    import pyarrow as pa
    from pyarrow import parquet

    flat = [(query, rank, image, score) for query, filled in rows for rank, (image, score) in enumerate(filled, 1)]
    columns = list(zip(*flat, strict=True)) or [(), (), (), ()]
    types = {"query_id": pa.string(), "rank": pa.int32(), "image": pa.string(), "score": pa.float32()}
    schema = pa.schema(list(types.items()), metadata={"ipcir": json.dumps(about, sort_keys=True)})
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types.values(), strict=True)]
    with atomic(path) as temporary:
        parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), temporary, compression="zstd")


def read_rankings(path: str | Path) -> dict[str, list[str]]:
    """{query_id: image names by rank} from a rankings parquet, or from a server-style JSON object of lists."""
    path = Path(path)
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): [str(name) for name in names] for key, names in content.items() if isinstance(names, list)}
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["query_id", "rank", "image"])
    except FileNotFoundError:
        raise InputError("does not exist", file=path) from None
    except (OSError, ValueError, KeyError) as error:
        remedy = "Delete it and run again to rebuild it."
        raise InputError(f"is not a rankings file ({error})", file=path, remedy=remedy) from error
    rankings: dict[str, list[str]] = {}
    table = table.sort_by([("query_id", "ascending"), ("rank", "ascending")])
    for query_id, image in zip(table["query_id"].to_pylist(), table["image"].to_pylist(), strict=True):
        rankings.setdefault(query_id, []).append(image)
    return rankings
