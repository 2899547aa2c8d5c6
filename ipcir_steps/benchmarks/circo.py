"""CIRCO (Baldrati et al., ICCV 2023): ``annotations/{split}.json`` over COCO 2017 unlabeled images."""

from pathlib import Path

from ipcir_steps.benchmarks.annotations import need, read_annotations
from ipcir_steps.config.data import Dataset
from ipcir_steps.core.records import Image, Query

SOURCE = "https://github.com/miccunifi/CIRCO (annotations) and https://cocodataset.org (2017 unlabeled images)"
IMAGES = "COCO2017_unlabeled/unlabeled2017"
INFO = "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json"


def read(settings: Dataset, split: str) -> tuple[list[Query], list[Image]]:
    """Queries (id = annotation id) and the gallery: every unlabeled image, named by its bare COCO id.

    The gallery comes from COCO's own image list, in its order; without it from the images on disk, by id.
    """
    root = Path(settings.root)
    annotations = f"annotations/{split}.json"
    records = read_annotations(root, annotations, SOURCE)
    queries = [_query(record, root / annotations, number) for number, record in enumerate(records)]
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


def _query(record: dict, path: Path, number: int) -> Query:
    identity = str(need(record, "id", int, path, number))
    targets = None
    if "target_img_id" in record:
        first = str(need(record, "target_img_id", int, path, identity))
        every = [str(target) for target in need(record, "gt_img_ids", list, path, identity)]
        targets = (first, *(target for target in every if target != first))
    return Query(
        query_id=identity,
        reference=str(need(record, "reference_img_id", int, path, identity)),
        captions=(need(record, "relative_caption", str, path, identity),),
        targets=targets,
        aspects=tuple(record.get("semantic_aspects", ())),
    )
