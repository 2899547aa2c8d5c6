"""GeneCIS (Vaze et al., CVPR 2023): ``genecis/{task}.json`` over COCO 2017 val images and Visual Genome 1.2.

Each query has a gallery of its own of 10 to 15 images, the target among them; the reference is not. The images of the
attribute tasks are objects cut out of Visual Genome's images, which ``ipcir crops`` makes once.
"""

from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.benchmarks.annotations import need, read_annotations
from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Image, Query
from ipcir_steps.core.scores import PerQuery, Rankings, by_category, pairs, recall

SOURCE = "https://github.com/facebookresearch/genecis (annotations) and https://cocodataset.org (2017 val images)"
TASKS = ("focus_attribute", "change_attribute", "focus_object", "change_object")
EVERY = "all"


def read(settings: Source, split: str) -> tuple[list[Query], list[Image]]:
    """Queries (id = task-number) of one task, or of all four with the split ``all``, and the union of their galleries.

    Images are named by their path below the root. Raises InputError for a split that is neither a task nor ``all``.
    """
    root, pools, queries = Path(settings.root), {}, []
    for task in tasks_of(split, root):
        for number, record in enumerate(records_of(root, task)):
            query, names = _query(record, task, root / annotations(task), number)
            queries.append(query)
            for name in names:
                pools.setdefault(name, []).append(query.query_id)
    return queries, [Image(name, name, categories=tuple(found)) for name, found in pools.items()]


def tasks_of(split: str, root: Path) -> tuple[str, ...]:
    """The tasks that a split names."""
    if split == EVERY:
        return TASKS
    if split not in TASKS:
        remedy = f"GeneCIS has no splits: set split to {EVERY}, or to one of {', '.join(TASKS)}."
        raise InputError(f"has no task {split!r}", file=root, field="split", remedy=remedy)
    return (split,)


def annotations(task: str) -> str:
    return f"genecis/{task}.json"


def records_of(root: Path, task: str) -> list[dict]:
    return read_annotations(root, annotations(task), SOURCE)


def _query(record: dict, task: str, path: Path, number: int) -> tuple[Query, list[str]]:
    """A query and the names of its gallery. One that lists the target among the others, too, has it once."""
    reference, *gallery = (name_of(image, task, path, number) for image in images_of(record, path, number))
    query = Query(
        query_id=f"{task}-{number}",
        reference=reference,
        captions=(need(record, "condition", str, path, number),),
        targets=(gallery[0],),
        category=task,
        pool=f"{task}-{number}",
    )
    return query, list(dict.fromkeys(gallery))


def images_of(record: dict, path: Path, number: int) -> list[dict]:
    """The images that an annotation names: reference, target, the others of the gallery. Raises InputError where one
    of the three is not there."""
    sides = [need(record, key, dict, path, number) for key in ("reference", "target")]
    return [*sides, *need(record, "gallery", list, path, number)]


def name_of(image: dict, task: str, path: Path, number: int) -> str:
    """Path below the root of an image of an annotation."""
    if task.endswith("_object"):
        return f"val2017/{need(image, 'val_image_id', int, path, number):012d}.jpg"
    sides = "_".join(f"{side:.10g}" for side in box_of(image, path, number))
    return f"crops/{need(image, 'image_id', int, path, number)}_{sides}.png"


def box_of(image: dict, path: Path, number: int) -> list[float]:
    """Left, top, width and height of the object, in pixels. Raises InputError for anything else."""
    box = need(image, "instance_bbox", list, path, number)
    if len(box) != 4 or not all(isinstance(side, int | float) for side in box) or min(box[2:]) <= 0:
        raise InputError("is not left, top, width, height", file=path, record=number, field="instance_bbox")
    return box


def per_query(rankings: Rankings, queries: Sequence[Query]) -> PerQuery:
    return {
        query.query_id: {f"recall@{k}": recall(ranking, query.targets[0], k) for k in (1, 2, 3)}
        for query, ranking in pairs(rankings, queries)
    }


def total(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """recall@1/2/3 per task ("change_object/recall@1") and their plain average over the tasks ("recall@1")."""
    return by_category(per_query(rankings, queries), queries)


BENCHMARK = Benchmark(
    read,
    per_query,
    total,
    rules="GeneCIS: each query on its own small gallery, which does not hold the reference; average of the tasks",
    headline=("recall@1", "recall@2", "recall@3"),
    tuned_by="recall@1",
    columns=("recall@1", "recall@2", "recall@3"),
    categories=True,
    absent="Cut what is below crops/ with `ipcir crops --root {root}`, put the others there",
)
