"""CIRCO (Baldrati et al., ICCV 2023): ``annotations/{split}.json`` over COCO 2017 unlabeled images."""

from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.benchmarks.annotations import need, read_annotations
from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.benchmarks.server import ServerFile
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Image, Query
from ipcir_steps.core.scores import PerQuery, Rankings, average_precision, mean, pairs, recall

SOURCE = "https://github.com/miccunifi/CIRCO (annotations) and https://cocodataset.org (2017 unlabeled images)"
IMAGES = "COCO2017_unlabeled/unlabeled2017"
INFO = "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json"


def read(settings: Source, split: str) -> tuple[list[Query], list[Image]]:
    """Queries (id = annotation id) and the gallery: every unlabeled image, named by its bare COCO id.

    The gallery comes from COCO's own image list, in its order; without it from the images on disk, by id.
    """
    root = Path(settings.root)
    annotations = f"annotations/{split}.json"
    records = read_annotations(root, annotations, SOURCE)
    concept = settings.shared_concept
    queries = [_query(record, root / annotations, number, concept) for number, record in enumerate(records)]
    return queries, _gallery(root, queries)


def _gallery(root: Path, queries: list[Query]) -> list[Image]:
    if (root / INFO).is_file():
        images = read_annotations(root, INFO, SOURCE)["images"]
        return [_image(number, image["file_name"]) for number, image in ((i["id"], i) for i in images)]
    files = sorted((root / IMAGES).glob("*.jpg"))
    if files:
        return [_image(int(file.stem), file.name) for file in files]
    # Annotations alone (metadata-only): the images that they mention.
    names = {name for query in queries for name in (query.reference, *(query.targets or ()))}
    return [_image(int(name), f"{int(name):012d}.jpg") for name in sorted(names, key=int)]


def _image(number: int, file_name: str) -> Image:
    return Image(str(number), f"{IMAGES}/{file_name}")


def _query(record: dict, path: Path, number: int, concept: bool) -> Query:
    identity = str(need(record, "id", int, path, number))
    caption = need(record, "relative_caption", str, path, identity)
    if concept:
        caption = f"{need(record, 'shared_concept', str, path, identity)}, {caption}"
    targets = None
    if "target_img_id" in record:
        first = str(need(record, "target_img_id", int, path, identity))
        every = [str(target) for target in need(record, "gt_img_ids", list, path, identity)]
        targets = (first, *(target for target in every if target != first))
    return Query(
        query_id=identity,
        reference=str(need(record, "reference_img_id", int, path, identity)),
        captions=(caption,),
        targets=targets,
        aspects=tuple(record.get("semantic_aspects", ())),
    )


def per_query(rankings: Rankings, queries: Sequence[Query]) -> PerQuery:
    return {
        query.query_id: {
            **{f"mAP@{k}": average_precision(ranking, query.targets, k) for k in (5, 10, 25, 50)},
            **{f"recall@{k}": recall(ranking, query.targets[0], k) for k in (1, 5, 10, 25, 50)},
        }
        for query, ranking in pairs(rankings, queries)
    }


def total(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """mAP@5/10/25/50 over all ground truths, recall@1/5/10/25/50 of the annotated target, mAP@10 per semantic aspect.

    rankings: {query_id: image names, best first}; the reference is left where it stands, as in the official
    evaluation. Queries without targets are refused.
    """
    return mean(per_query(rankings, queries)) | _aspects(rankings, queries)


def _aspects(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    precisions: dict[str, list[float]] = {}
    for query, ranking in pairs(rankings, queries):
        for aspect in query.aspects:
            precisions.setdefault(aspect, []).append(average_precision(ranking, query.targets, 10))
    return {f"mAP@10/{aspect}": sum(values) / len(values) for aspect, values in sorted(precisions.items())}


def _coco_id(image, where: dict) -> None:
    name = str(image)
    if not name.isdecimal():
        raise InputError(f"lists {name!r}, which is not a COCO image id", **where)
    if name != str(int(name)):
        raise InputError(f"lists {name!r}: image ids have no leading zeros", **where)


SERVER_FILE = ServerFile(
    "circo", 50, {220: "val", 800: "test"}, _coco_id, written=lambda name: int(name) if name.isdigit() else name
)
BENCHMARK = Benchmark(
    read,
    per_query,
    total,
    rules="CIRCO: AP@k over all ground truths / min(#GT, k); the reference stays",
    headline=("mAP@5", "mAP@10", "mAP@25", "mAP@50"),
    tuned_by="mAP@10",
    columns=("mAP@5", "mAP@10", "mAP@25", "mAP@50"),
    server_files=(SERVER_FILE,),
)
