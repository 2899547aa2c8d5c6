"""PinPoint (Mahadev et al., CVPR 2026): ``pinpoint_licensed.parquet`` and ``index_signatures.txt``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ipcir_steps.benchmarks.annotations import annotation_file, need
from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import used
from ipcir_steps.core.records import Image, Query
from ipcir_steps.core.scores import PerQuery, Rankings, mean, pairs

SOURCE = "https://github.com/pinterest/pinpoint-dataset"
QUERIES, GALLERY = "pinpoint_licensed.parquet", "index_signatures.txt"
FIELDS = {
    "query_id": str,
    "query_image_signature": str,
    "instruction": str,
    "positive_candidates": list,
    "negative_candidates": list,
}
SECOND = "query_image_signature2"
SPLIT = "all"
DEPTHS = (1, 5, 10, 50)


def read(settings: Source, split: str) -> tuple[list[Query], list[Image]]:
    """Queries with one reference image (id: the official five digits) and the gallery, in the official order.

    Images are named by their signature and lie where the address of the image ends: ``images/af/d9/de/afd9….jpg``.
    Queries of one reference image are wordings of one request, as the official evaluation takes them. Targets keep the
    repetitions that the official numbers count. Raises InputError for a split other than ``all``, a file that is no
    parquet file, and a column or value that is missing or of another type.
    """
    root = Path(settings.root)
    if split != SPLIT:
        raise InputError(f"has no split {split!r}", file=root, field="split", remedy=f"Set split to {SPLIT}.")
    path = annotation_file(root, QUERIES, SOURCE)
    signatures = used(annotation_file(root, GALLERY, SOURCE)).read_text(encoding="utf-8").split()
    queries = [_query(record, path, number) for number, record in enumerate(_records(path), 1) if _is_single(record)]
    return queries, [Image(name, _place(name)) for name in dict.fromkeys(signatures)]


def _records(path: Path) -> list[dict]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(used(path))
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"is no parquet file ({error})", file=path, remedy=f"Get it from {SOURCE} again.") from error
    for field in (*FIELDS, SECOND):
        if field not in table.column_names:
            raise InputError("is missing", file=path, field=field, remedy=f"Get it from {SOURCE} again.")
    return table.select([*FIELDS, SECOND]).to_pylist()


def _is_single(record: dict) -> bool:
    return record[SECOND] in (None, "", "None")  # the official file writes the word


def _query(record: dict, path: Path, number: int) -> Query:
    values = {field: need(record, field, kind, path, number) for field, kind in FIELDS.items()}
    for field in ("instruction", "query_image_signature", "positive_candidates"):
        if not values[field]:
            raise InputError("is empty", file=path, record=values["query_id"], field=field)
    reference = values["query_image_signature"]
    return Query(
        values["query_id"].removeprefix("query_").zfill(5),
        reference,
        (values["instruction"],),
        tuple(values["positive_candidates"]),
        request=reference,
        negatives=tuple(values["negative_candidates"]),
    )


def _place(name: str) -> str:
    return f"images/{name[:2]}/{name[2:4]}/{name[4:6]}/{name}.jpg"


def per_query(rankings: Rankings, queries: Sequence[Query]) -> PerQuery:
    """mAP, precision, recall, NegRecall (share of the hard negatives among the first k) and mAP of the list without
    them, at 1, 5, 10 and 50. A target that the annotations repeat counts in denominators each time, as officially."""
    values = {}
    for query, ranking in pairs(rankings, queries):
        wrong = set(query.negatives)
        right = [name for name in ranking if name not in wrong]
        values[query.query_id] = {}
        for k in DEPTHS:
            hits = sum(name in query.targets for name in ranking[:k])
            traps = sum(name in wrong for name in ranking[:k])
            values[query.query_id] |= {
                f"mAP@{k}": _average_precision(ranking, query.targets, k),
                f"mAP@{k}_noNeg": _average_precision(right, query.targets, k),
                f"precision@{k}": hits / k,
                f"recall@{k}": hits / len(query.targets),
                f"NegRecall@{k}": traps / min(len(query.negatives), k) if wrong else 0.0,
            }
    return values


def _average_precision(ranking: Sequence[str], targets: Sequence[str], k: int) -> float:
    """AP@k by min(number of targets, each as often as it is listed, k)."""
    found, total = 0, 0.0
    for place, name in enumerate(ranking[:k], 1):
        if name in targets:
            found += 1
            total += found / place
    return total / min(len(targets), k)


def total(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """Means over the queries, and ``ling_sens_range`` and ``ling_sens_std``: range and standard deviation of
    precision@10 over the queries of one reference image, averaged over the images that have several."""
    values = per_query(rankings, queries)
    images: dict[str, list[float]] = {}
    for query in queries:
        images.setdefault(query.reference, []).append(values[query.query_id]["precision@10"])
    several = [np.array(some) for some in images.values() if len(some) > 1]
    sensitivity = {"ling_sens_range": np.ptp, "ling_sens_std": np.std}
    return mean(values) | {
        name: float(np.mean([of(some) for some in several])) if several else 0.0 for name, of in sensitivity.items()
    }


BENCHMARK = Benchmark(
    read,
    per_query,
    total,
    rules="PinPoint: AP@k over all targets / min(#targets, k); the reference stays; queries with one reference image",
    headline=("mAP@10", "mAP@50", "precision@1", "precision@10"),
    tuned_by="mAP@10",
    columns=("mAP@10", "mAP@10_noNeg", "precision@1", "precision@10", "recall@50"),
    caution="PinPoint's queries with two reference images are left out: published numbers count them",
)
