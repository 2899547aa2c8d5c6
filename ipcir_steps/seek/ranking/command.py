"""``ipcir ranking``: all variants of one (backbone, baseline) from one pass over the gallery."""

import argparse
import json
from pathlib import Path

from ipcir_steps.config.retrieval import Ranking
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, align, load_features
from ipcir_steps.core.files import atomic, read_json
from ipcir_steps.core.records import read_images, read_queries
from ipcir_steps.variants import BASE, VARIANTS


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", required=True, type=Path, help="text features of a baseline, one row per query")
    parser.add_argument("--gallery", required=True, type=Path, help="gallery features")
    parser.add_argument("--queries", required=True, type=Path, help="queries.jsonl")
    parser.add_argument("--gallery-images", required=True, type=Path, help="gallery.jsonl")
    parser.add_argument(
        "--fusion", nargs="*", default=[], type=Path, metavar="FILE", help="fused proxies, named VARIANT.safetensors"
    )
    parser.add_argument(
        "--variants", nargs="+", default=["base"], choices=VARIANTS, metavar="V", help=", ".join(VARIANTS)
    )
    parser.add_argument("--lambda", dest="lam", type=float, default=0.3, metavar="X", help="weight of S_t in [0, 1]")
    parser.add_argument("--balance", type=Path, metavar="FILE", help="each variant's own lambda, from ipcir balance")
    parser.add_argument("--exclude-reference", action="store_true", help="leave each query's reference out (CIRR)")
    parser.add_argument("--output-dir", required=True, type=Path, help="gets VARIANT.{rankings,subset}.parquet")
    add_settings(parser, Ranking)


def main(args: argparse.Namespace) -> None:
    settings = read_settings(args.settings, Ranking)
    if not 0 <= args.lam <= 1:
        raise InputError(f"is {args.lam}, not within [0, 1]", field="--lambda")
    weights = dict.fromkeys(args.variants, args.lam) | (read_balance(args.balance) if args.balance else {})
    fused = fusion_files(args.variants, args.fusion)
    lists = rank_files(
        args.text, args.gallery, args.queries, args.gallery_images, fused,
        {variant: (weights[variant],) for variant in args.variants}, args.exclude_reference, settings,
    )  # fmt: skip
    for variant, (rows,) in lists.items():
        about = {"variant": variant, "lambda": 1.0 if variant == BASE else weights[variant]}
        about |= {"combine": VARIANTS[variant].combine, "excluded_reference": args.exclude_reference}
        write_rankings(args.output_dir / f"{variant}.rankings.parquet", rows, about)
    sets = rank_members(args.text, args.gallery, args.queries, fused, args.variants, weights)
    for variant, rows in sets.items():
        write_rankings(args.output_dir / f"{variant}.subset.parquet", rows, {"variant": variant})


def read_balance(path: Path) -> dict[str, float]:
    """{variant: lambda} of a file written by ``ipcir balance``."""
    chosen = read_json(path).get("chosen")
    if not isinstance(chosen, dict):
        raise InputError("is missing", file=path, field="chosen", remedy="Make the file with ipcir balance.")
    return {variant: choice["lambda"] for variant, choice in chosen.items()}


def fusion_files(variants, paths) -> dict[str, Path]:
    """The fusion file of each name that the variants need, found by its file name."""
    found = {path.name.removesuffix(".safetensors"): path for path in paths}
    needed = {VARIANTS[variant].proxy for variant in variants} - {None}
    for name in sorted(needed - found.keys()):
        raise InputError(f"lacks {name}.safetensors", field="--fusion", remedy="Make it with ipcir fusion.")
    return {name: found[name] for name in sorted(needed)}


def rank_files(text, gallery, queries, gallery_images, fused, weights, exclude_reference, settings):
    """Ranked lists {variant: one [(query id, [(image, score)])] in query order per weight}, from one pass.

    weights: {variant: values of lambda}; base is always S_t.
    Queries that are missing in the text features are left out; queries without a proxy keep the list of the baseline.
    A query with a category is ranked among the images of that category. Raises InputError where names do not match.
    """
    from ipcir_steps.seek.ranking.streaming import Balance, scan

    paths, inputs = {"text": text, **fused}, {}
    images, asked, pool = read_images(gallery_images), read_queries(queries), load_features(gallery)
    _same_names(pool, [image.name for image in images], gallery, gallery_images)
    for name, path in paths.items():
        inputs[name] = load_features(path)
        _same_shape(inputs[name], pool, path, gallery)
        _same_names(inputs[name], [query.query_id for query in asked], path, queries)
    absent = set(inputs["text"].missing)
    asked = [query for query in asked if query.query_id not in absent]
    row_of = {name: row for row, name in enumerate(pool.names)}
    names = [BASE, *(variant for variant in weights if variant != BASE)]
    cards = [VARIANTS[name] for name in names[1:]]
    balances = [Balance()] + [Balance(card.proxy, tuple(weights[card.name]), card.combine) for card in cards]
    lists = {variant: [{} for _ in values] for variant, values in weights.items()}
    for category in dict.fromkeys(query.category for query in asked):
        group = [query for query in asked if query.category == category]
        subset = None
        if category is not None:
            members = {image.name for image in images if category in image.categories}
            subset = [row for row, name in enumerate(pool.names) if name in members]
            if not subset:
                raise InputError(f"has no image of category {category!r}", file=gallery_images, field="categories")
        exclude = [row_of.get(query.reference, -1) for query in group] if exclude_reference else None
        tensors, without = {}, {}
        for name, features in inputs.items():
            tensors[name], without[name] = _rows(features, group)
        found = scan(
            tensors.pop("text"), pool.values, balances, tensors, settings.k, exclude, subset,
            block=settings.block, memory_mb=settings.memory_mb,
        )  # fmt: skip
        found = dict(zip(names, found, strict=True))
        for variant, of_weights in lists.items():
            for number, filled in enumerate(of_weights):
                for row, query in enumerate(group):
                    base = variant == BASE or row in without.get(VARIANTS[variant].proxy, ())
                    indices, scores = found[BASE if base else variant]
                    indices, scores = (part[0 if base else number, row].tolist() for part in (indices, scores))
                    pairs = zip(indices, scores, strict=True)
                    filled[query.query_id] = [(pool.names[i], score) for i, score in pairs if i >= 0]
    return {
        variant: [[(q.query_id, filled[q.query_id]) for q in asked] for filled in of_weights]
        for variant, of_weights in lists.items()
    }


def rank_members(text, gallery, queries, fused, variants, weights):
    """CIRR's subset lists {variant: [(query id, [(image, score)])]}: the other members of each query's image set.

    They are balanced and fall back exactly as the full lists; members that the gallery lacks are left out, ties keep
    the annotated order. Queries without an image set have no list.
    """
    import torch

    pool, inputs = load_features(gallery), {name: load_features(path) for name, path in {"text": text, **fused}.items()}
    row_of = {name: row for row, name in enumerate(pool.names)}
    absent = set(inputs["text"].missing)
    asked = [query for query in read_queries(queries) if query.group and query.query_id not in absent]
    tensors, without = {}, {}
    for name, features in inputs.items():
        tensors[name], without[name] = _rows(features, asked)
    lists = {variant: [] for variant in variants}
    for row, query in enumerate(asked):
        names = [name for name in query.group if name in row_of and name != query.reference]
        members = torch.tensor(pool.values[[row_of[name] for name in names]])
        similar = {name: torch.nn.functional.normalize(members, dim=1) @ rows[row] for name, rows in tensors.items()}
        for variant in variants:
            proxy, scores = VARIANTS[variant].proxy, similar["text"]
            if proxy and row not in without[proxy]:
                other = similar[proxy] * scores if VARIANTS[variant].combine == "product" else similar[proxy]
                scores = torch.lerp(other, scores, weights[variant])
            order = scores.argsort(descending=True, stable=True).tolist()
            lists[variant].append((query.query_id, [(names[i], scores[i].item()) for i in order]))
    return lists


def _rows(features: Features, group):
    """The rows of the queries of a group, and which of them stand in for a missing one."""
    import numpy as np
    import torch

    missing = set(features.missing)
    without = {row for row, query in enumerate(group) if query.query_id in missing}
    values = np.array(features.values[align(features, [query.query_id for query in group])])
    values[sorted(without)] = 1  # any vector that is not zero: these lists are not used
    return torch.from_numpy(values), without


def _same_shape(features, pool, path, gallery):
    if features.values.ndim != 2:
        raise InputError(f"has shape {list(features.values.shape)}, not [queries, D]", file=path, field="features")
    if features.values.shape[1] != pool.values.shape[1]:
        wrong, right = features.values.shape[1], pool.values.shape[1]
        raise InputError(f"has {wrong} dimensions, {gallery} has {right}", file=path, field="features")


def _same_names(features: Features, names, path, other):
    align(features, names, file=path, other=other)
    if len(features.names) > len(names):
        extra = next(name for name in features.names if name not in set(names))
        remedy = "Rebuild both from the same queries and gallery."
        raise InputError(f"is not in {other}", file=path, record=extra, remedy=remedy)


def write_rankings(path: str | Path, rows, about: dict) -> None:
    """Columns query_id, rank (1…), image, score (float32); ``about`` as metadata. Same rows, same bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    flat = [(query, rank, image, score) for query, filled in rows for rank, (image, score) in enumerate(filled, 1)]
    columns = list(zip(*flat, strict=True)) or [(), (), (), ()]
    types = {"query_id": pa.string(), "rank": pa.int32(), "image": pa.string(), "score": pa.float32()}
    schema = pa.schema(list(types.items()), metadata={"ipcir": json.dumps(about, sort_keys=True)})
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types.values(), strict=True)]
    with atomic(path) as temporary:
        parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), temporary, compression="zstd")
