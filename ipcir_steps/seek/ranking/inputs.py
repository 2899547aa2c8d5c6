"""What a search needs, from files: queries, gallery and features with one row per query, checked and aligned once."""

import argparse
import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ipcir_steps.core.arguments import InFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, align, load_features
from ipcir_steps.core.records import Image, Query, read_images, read_queries

if TYPE_CHECKING:
    import torch

AXES = {
    "proxies": 3,
    "target_captions": 3,
    "source_captions": 3,
}  # of features with several rows per query; 2 elsewhere


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrievalInputs:
    """Row n of every tensor belongs to queries[n]; row m of the gallery to names[m].

    text: float32 [Q, D]. gallery: float32 [G, D], un-normalised tensor or memory map.
    proxies: {name: fused proxies, float32 [Q, D]}. without: {name: ids of the queries that have no such proxy}; their
    rows are filled with ones and mean nothing.
    parts: {name: float32 [Q, …]}, further features, which every one of the queries has.
    exclude: int64 [Q], the gallery row that a query may not find, or -1; None: nothing is excluded.
    categories: {part of the gallery: its rows, in rising order}; a query that names one (a category, a pool) is ranked
    among those.
    """

    queries: Sequence[Query]
    names: Sequence[str]
    text: "torch.Tensor"
    gallery: object
    proxies: Mapping[str, "torch.Tensor"] = dataclasses.field(default_factory=dict)
    without: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    parts: Mapping[str, "torch.Tensor"] = dataclasses.field(default_factory=dict)
    exclude: "torch.Tensor | None" = None
    categories: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def row_of(self) -> dict[str, int]:
        """The gallery row of each image."""
        return {name: row for row, name in enumerate(self.names)}

    def by_category(self) -> Iterator[tuple[list[int], Sequence[int] | None]]:
        """(query rows, the gallery rows among which they are ranked; None: all), part by part of the gallery."""
        rows: dict[str | None, list[int]] = {}
        for row, query in enumerate(self.queries):
            rows.setdefault(query.gallery, []).append(row)
        for category, some in rows.items():
            yield some, None if category is None else self.categories[category]

    def excluded(self, rows: Sequence[int]) -> "torch.Tensor | None":
        """``exclude`` of some of the queries."""
        return None if self.exclude is None else self.exclude[rows]


def searches(
    inputs: RetrievalInputs, k: int, whole: bool, lists: int, memory_mb: int
) -> Iterator[tuple[list[int], Sequence[int] | None, int]]:
    """(query rows, gallery rows, length of the lists) of each pass. whole: lists as long as the gallery; few queries go
    together then, so that their lists (``lists`` of each) take no more than a quarter of ``memory_mb``."""
    for rows, subset in inputs.by_category():
        total = len(inputs.names) if subset is None else len(subset)
        if not whole or k >= total:
            yield rows, subset, k
            continue
        some = max(1, (memory_mb << 18) // (64 * lists * total))
        for low in range(0, len(rows), some):
            yield rows[low : low + some], subset, total


def target_rows(inputs: RetrievalInputs, rows: Sequence[int]) -> list["torch.Tensor"]:
    """int64, the gallery rows of the targets of each of the queries."""
    import torch

    row_of = inputs.row_of
    targets = (inputs.queries[row].targets or () for row in rows)
    return [torch.tensor([row_of[name] for name in names if name in row_of], dtype=torch.int64) for names in targets]


def places_below(found: "torch.Tensor", k: int, targets: "torch.Tensor") -> list[int]:
    """Places from 0, rising, of the targets that stand below the first k. found: int64, gallery rows by rank."""
    import torch

    return (torch.isin(found[k:], targets).nonzero().flatten() + k).tolist()


def load_retrieval(
    *,
    text: Path,
    gallery: Path,
    queries: Path,
    gallery_images: Path,
    proxies: Mapping[str, Path] | None = None,
    parts: Mapping[str, Path] | None = None,
    exclude_reference: bool = False,
) -> RetrievalInputs:
    """Read and align the inputs of a search.

    text, gallery: feature files; queries, gallery_images: queries.jsonl and gallery.jsonl. proxies: fused proxies by
    name, which a query may lack. parts: further features by name. Queries that ``text`` or one of ``parts`` lacks, or
    of which no proxy was wanted, are left out. Raises InputError where names, axes or dimensions do not match, or a
    query's category has no image.
    """
    images, asked, pool = read_images(gallery_images), read_queries(queries), load_features(gallery)
    _same_names(pool, [image.name for image in images], gallery, gallery_images)
    paths = {"text": text, **(parts or {}), **(proxies or {})}
    loaded = {name: load_features(path) for name, path in paths.items()}
    for name, features in loaded.items():
        _same_shape(features, AXES.get(name, 2), pool, paths[name], gallery)
        _same_names(features, [query.query_id for query in asked], paths[name], queries)
    absent = {query_id for name in ("text", *(parts or {})) for query_id in lacking(loaded[name])}
    kept = [query for query in asked if query.query_id not in absent]
    row_of = {name: row for row, name in enumerate(pool.names)}
    return RetrievalInputs(
        queries=kept,
        names=pool.names,
        text=rows_of(loaded["text"], kept),
        gallery=pool.values,
        proxies={name: rows_of(loaded[name], kept) for name in proxies or {}},
        without={name: frozenset(loaded[name].missing) for name in proxies or {}},
        parts={name: rows_of(loaded[name], kept) for name in parts or {}},
        exclude=_references(kept, row_of) if exclude_reference else None,
        categories=_categories(kept, images, row_of, gallery_images),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every command which searches a gallery shares; ``from_args`` reads them."""
    parser.add_argument("--text", required=True, type=InFile, help="text features of a baseline, one row per query")
    parser.add_argument("--gallery", required=True, type=InFile, help="gallery features")
    parser.add_argument("--queries", required=True, type=InFile, help="queries.jsonl")
    parser.add_argument("--gallery-images", required=True, type=InFile, help="gallery.jsonl")
    parser.add_argument("--exclude-reference", action="store_true", help="leave each query's reference out (CIRR)")


def from_args(args: argparse.Namespace, **more) -> RetrievalInputs:
    """``load_retrieval`` of what ``add_arguments`` asked for."""
    return load_retrieval(
        text=args.text,
        gallery=args.gallery,
        queries=args.queries,
        gallery_images=args.gallery_images,
        exclude_reference=args.exclude_reference,
        **more,
    )


def lacking(features: Features) -> list[str]:
    """Names of the rows that have nothing: those that are missing, and those of which nothing was wanted."""
    if features.counts is None:
        return list(features.missing)
    return [name for name, count in zip(features.names, features.drawn, strict=True) if not count]


def rows_of(features: Features, queries: Sequence[Query]) -> "torch.Tensor":
    """Row n is that of query n, as it is stored; ones where it is missing, because similarities need a direction."""
    import numpy as np
    import torch

    missing = set(features.missing)
    values = np.array(features.values[align(features, [query.query_id for query in queries])])
    values[[row for row, query in enumerate(queries) if query.query_id in missing]] = 1
    return torch.from_numpy(values)


def _references(queries: Sequence[Query], row_of: Mapping[str, int]) -> "torch.Tensor":
    import torch

    return torch.tensor([row_of.get(query.reference, -1) for query in queries], dtype=torch.int64)


def _categories(
    queries: Iterable[Query], images: Sequence[Image], row_of: Mapping[str, int], file: Path
) -> dict[str, list[int]]:
    """The gallery rows of each part of the gallery that a query searches."""
    found: dict[str, list[int]] = {query.gallery: [] for query in queries if query.gallery is not None}
    for image in images:
        for category in found.keys() & image.categories:  # once, however often an image lists it
            found[category].append(row_of[image.name])
    for category, rows in found.items():
        if not rows:
            raise InputError(f"has no image of category {category!r}", file=file, field="categories")
        rows.sort()
    return found


def _same_shape(features: Features, axes: int, pool: Features, path: Path, gallery: Path) -> None:
    shape = list(features.values.shape)
    if len(shape) != axes:
        expected = "[queries, D]" if axes == 2 else "[queries, n, D]"
        raise InputError(f"has shape {shape}, not {expected}", file=path, field="features")
    if shape[-1] != pool.values.shape[1]:
        raise InputError(f"has {shape[-1]} dimensions, {gallery} has {pool.values.shape[1]}", file=path)


def _same_names(features: Features, names: Sequence[str], path: Path, other: Path) -> None:
    align(features, names, file=path, other=other)
    if len(features.names) > len(names):
        known = set(names)
        extra = next(name for name in features.names if name not in known)
        remedy = "Rebuild both from the same queries and gallery."
        raise InputError(f"is not in {other}", file=path, record=extra, remedy=remedy)
