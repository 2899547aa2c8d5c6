"""Any directory of images, with a CSV of queries: ``reference,caption[,targets][,id][,request]``."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import inside, used
from ipcir_steps.core.records import Image, Query
from ipcir_steps.core.scores import PerQuery, Rankings, average_precision, mean, pairs, recall

DEFAULT = "queries.csv"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def read(settings: Source, split: str) -> tuple[list[Query], list[Image]]:
    """Queries from the CSV (targets separated by ``|``; id defaults to the row number; rows of one request are wordings
    of it), gallery from the files.

    Images are named by their path below the root. Files of other kinds are ignored.
    """
    root = Path(settings.root)
    if not root.is_dir():
        raise InputError("the image directory is missing", file=root, remedy="Correct the dataset's root.")
    files = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
    gallery = [Image(name, name) for name in files]
    return list(_queries(queries_file(settings), root, {*files})), gallery


def queries_file(settings: Source) -> Path:
    """The CSV of queries: as it is named, or below the folder itself; there it is called queries.csv by default."""
    named, inside_folder = Path(settings.queries or DEFAULT), Path(settings.root) / (settings.queries or DEFAULT)
    if settings.queries is not None and named.is_file():
        return named
    return inside_folder if inside_folder.is_file() or settings.queries is None else named


def _queries(path: Path, root: Path, files: set[str]):
    try:
        file = open(used(path), newline="", encoding="utf-8-sig")  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        raise InputError(
            "the CSV of queries is missing",
            file=path,
            remedy="Write it there or into the folder of images, or set datasets.NAME.queries to where it is.",
        ) from None
    with file:
        rows = csv.DictReader(file)
        for column in ("reference", "caption"):
            if column not in (rows.fieldnames or ()):
                raise InputError(
                    f"has no column '{column}'", file=path, remedy="Columns: reference,caption,targets,id,request."
                )
        for number, row in enumerate(rows, 1):
            reference = (row["reference"] or "").strip()
            inside(root, reference, file=path, record=number, field="reference")
            if reference not in files:
                raise InputError(
                    f"{reference!r} is not an image below {root}", file=path, record=number, field="reference",
                    remedy="Write its path relative to that directory.",
                )  # fmt: skip
            if not (row["caption"] or "").strip():
                raise InputError(
                    "is empty", file=path, record=number, field="caption",
                    remedy="Write what should be different, or delete the line.",
                )  # fmt: skip
            targets = [target.strip() for target in (row.get("targets") or "").split("|") if target.strip()]
            yield Query(
                query_id=(row.get("id") or "").strip() or str(number),
                reference=reference,
                captions=((row["caption"] or "").strip(),),
                targets=tuple(targets) or None,
                request=(row.get("request") or "").strip() or None,
            )


def per_query(rankings: Rankings, queries: Sequence[Query]) -> PerQuery:
    return {
        query.query_id: {
            **{f"recall@{k}": recall(ranking, query.targets[0], k) for k in (1, 5, 10, 50)},
            **{f"mAP@{k}": average_precision(ranking, query.targets, k) for k in (5, 10, 25, 50)},
        }
        for query, ranking in pairs(rankings, queries)
    }


def total(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """recall@1/5/10/50 of the first target, mAP@5/10/25/50 over all targets (as CIRCO)."""
    return mean(per_query(rankings, queries))


BENCHMARK = Benchmark(
    read,
    per_query,
    total,
    rules="folder: recall of the first target, AP@k as CIRCO",
    headline=("recall@1", "recall@5", "recall@10", "mAP@10"),
    tuned_by="mAP@10",
    columns=("recall@1", "recall@5", "recall@10", "mAP@10"),
)
