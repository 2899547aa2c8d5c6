"""CIRR (Liu et al., ICCV 2021): ``cirr/captions/cap.rc2.{split}.json`` and ``cirr/image_splits``."""

from pathlib import Path

from ipcir_steps.benchmarks.annotations import need, read_annotations
from ipcir_steps.config.data import Dataset
from ipcir_steps.core.records import Image, Query

SOURCE = "https://github.com/Cuberick-Orion/CIRR (annotations, branch cirr_dataset) and NLVR2 (images)"


def read(settings: Dataset, split: str) -> tuple[list[Query], list[Image]]:
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
