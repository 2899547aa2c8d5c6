"""CIRR (Liu et al., ICCV 2021): ``cirr/captions/cap.rc2.{split}.json`` and ``cirr/image_splits``."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.benchmarks.annotations import need, read_annotations
from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.benchmarks.server import ServerFile
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Image, Query
from ipcir_steps.core.scores import PerQuery, Rankings, mean, names_of, pairs, recall

SOURCE = "https://github.com/Cuberick-Orion/CIRR (annotations, branch cirr_dataset) and NLVR2 (images)"
NAME = re.compile(r"(train|dev|test1)-\d+-\d+-img\d+")


def read(settings: Source, split: str) -> tuple[list[Query], list[Image]]:
    """Queries (id = pairid) and gallery of ``val``, ``test1`` or ``train``."""
    root = Path(settings.root)
    splits = f"cirr/image_splits/split.rc2.{split}.json"
    gallery = [Image(name, path.removeprefix("./")) for name, path in read_annotations(root, splits, SOURCE).items()]
    captions = f"cirr/captions/cap.rc2.{split}.json"
    records = read_annotations(root, captions, SOURCE)
    return [_query(record, root / captions, number) for number, record in enumerate(records)], gallery


def _query(record: dict, path: Path, number: int) -> Query:
    pair = str(need(record, "pairid", (int, str), path, number))
    reference = need(record, "reference", str, path, pair)
    members = need(need(record, "img_set", dict, path, pair), "members", list, path, pair)
    target = record.get("target_hard")
    return Query(
        query_id=pair,
        reference=reference,
        captions=(need(record, "caption", str, path, pair),),
        targets=None if target is None else (target,),
        group=tuple(member for member in members if member != reference),
    )


def per_query(rankings: Rankings, queries: Sequence[Query], subset: Rankings | None = None) -> PerQuery:
    values: PerQuery = {}
    for query, ranking in pairs(rankings, queries):
        ranking = [name for name in ranking if name != query.reference]
        values[query.query_id] = {f"recall@{k}": recall(ranking, query.targets[0], k) for k in (1, 5, 10, 50)}
        if query.group:
            members = set(query.group) - {query.reference}
            source = ranking if subset is None else names_of(subset, query)
            inner = [name for name in source if name in members]
            values[query.query_id] |= {f"recall_subset@{k}": recall(inner, query.targets[0], k) for k in (1, 2, 3)}
    return values


def total(rankings: Rankings, queries: Sequence[Query], subset: Rankings | None = None) -> dict[str, float]:
    """recall@1/5/10/50, recall_subset@1/2/3 and their published average (recall@5 + recall_subset@1) / 2.

    The reference is removed from the ranking first. subset: {query_id: members of the image set, best first};
    by default the members are looked up in ``rankings``, which must then be long enough to hold them.
    """
    values = mean(per_query(rankings, queries, subset))
    if "recall_subset@1" in values:
        values["average"] = (values["recall@5"] + values["recall_subset@1"]) / 2
    return values


def _image_name(image, where: dict) -> None:
    if isinstance(image, int):
        raise InputError(f"lists the number {image} in place of an image name", **where)


def _one_split(answers: dict, file) -> None:
    """The names of a file come from one split (names of other data sets are left alone)."""
    splits: dict[str, str] = {}
    for query_id, images in answers.items():
        for name in images:
            if found := NAME.fullmatch(name):
                splits.setdefault(found[1], query_id)
    if len(splits) > 1:
        mixed = " and ".join(sorted(splits))
        raise InputError(f"mixes images of the splits {mixed}", file=file, record=list(splits.values())[-1])


_server_file = functools.partial(
    ServerFile, counts={4148: "test1", 4181: "val"}, image=_image_name, whole=_one_split, keeps_reference=False
)
RECALL = _server_file("recall", 50, head={"version": "rc2", "metric": "recall"})
RECALL_SUBSET = _server_file(
    "recall_subset", 3, head={"version": "rc2", "metric": "recall_subset"}, image_sets=True
)  # fmt: skip
BENCHMARK = Benchmark(
    read,
    per_query,
    total,
    rules="CIRR: the reference is removed; subset among the other members of the image set",
    headline=("recall@1", "recall@5", "recall@10", "recall_subset@1"),
    tuned_by="recall@5",
    columns=(
        "recall@1", "recall@5", "recall@10", "recall@50", "recall_subset@1", "recall_subset@2", "recall_subset@3",
    ),
    image_sets=True,
    server_files=(RECALL, RECALL_SUBSET),
)  # fmt: skip
