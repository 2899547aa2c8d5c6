"""FashionIQ (Wu et al., CVPR 2021): ``captions/cap.{category}.{split}.json`` and ``image_splits``."""

from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.benchmarks.annotations import need, read_annotations
from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Image, Query
from ipcir_steps.core.scores import PerQuery, Rankings, by_category, pairs, recall

SOURCE = "https://github.com/XiaoxiaoGuo/fashion-iq (annotations and image addresses)"
CATEGORIES = ("dress", "shirt", "toptee")


def read(settings: Source, split: str) -> tuple[list[Query], list[Image]]:
    """Queries (id = category-number) of the categories present, and the union of their galleries.

    An image that belongs to several categories appears once, with all of them.
    """
    queries = read_captions(settings, split)
    root, galleries = Path(settings.root), {}
    for category in _categories(root, split):
        for name in read_annotations(root, f"image_splits/split.{category}.{split}.json", SOURCE):
            galleries.setdefault(name, []).append(category)
    return queries, images_of(galleries, root)


def read_captions(settings: Source, split: str) -> list[Query]:
    """The queries of the categories present, category by category."""
    root, queries = Path(settings.root), []
    for category in _categories(root, split):
        captions = f"captions/cap.{category}.{split}.json"
        records = read_annotations(root, captions, SOURCE)
        queries += [_query(record, category, root / captions, number) for number, record in enumerate(records)]
    return queries


def _categories(root: Path, split: str) -> list[str]:
    """Those whose captions are there. Raises InputError where none are."""
    present = [c for c in CATEGORIES if (root / f"captions/cap.{c}.{split}.json").is_file()]
    if not present:
        read_annotations(root, f"captions/cap.dress.{split}.json", SOURCE)
    return present


def images_of(galleries: dict[str, list[str]], root: Path) -> list[Image]:
    """The gallery of {image name: categories}."""
    return [Image(name, _path(root, name), categories=tuple(kinds)) for name, kinds in galleries.items()]


def _path(root: Path, name: str) -> str:
    """FashionIQ images circulate as .png and as .jpg, in ``images`` or ``image_data``."""
    for folder in ("images", "image_data"):
        for suffix in (".png", ".jpg"):
            if (root / folder / f"{name}{suffix}").is_file():
                return f"{folder}/{name}{suffix}"
    return f"images/{name}.png"


def _query(record: dict, category: str, path: Path, number: int) -> Query:
    captions = need(record, "captions", list, path, number)
    if not captions or not all(isinstance(caption, str) for caption in captions):
        raise InputError("must be a list of texts", file=path, record=number, field="captions")
    target = record.get("target")
    return Query(
        query_id=f"{category}-{number}",
        reference=need(record, "candidate", str, path, number),
        captions=tuple(captions),
        targets=None if target is None else (target,),
        category=category,
    )


def per_query(rankings: Rankings, queries: Sequence[Query]) -> PerQuery:
    return {
        query.query_id: {f"recall@{k}": recall(ranking, query.targets[0], k) for k in (10, 50)}
        for query, ranking in pairs(rankings, queries)
    }


def total(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """recall@10/50 per category ("dress/recall@10") and their plain average over the categories ("recall@10").

    The reference is left where it stands; each ranking is over the category's own gallery.
    """
    return by_category(per_query(rankings, queries), queries)


BENCHMARK = Benchmark(
    read,
    per_query,
    total,
    rules="FashionIQ: each category on its own gallery; the reference stays",
    headline=("recall@10", "recall@50"),
    tuned_by="recall@10",
    columns=("recall@10", "recall@50"),
    table=2,
    categories=True,
)
