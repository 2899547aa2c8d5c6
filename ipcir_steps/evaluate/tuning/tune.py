"""Choosing lambda and the weights: on labelled queries by a grid, and without labels by two rules."""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.retrieval import Tune
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import align, load_features
from ipcir_steps.core.files import write_json
from ipcir_steps.core.records import read_images, read_queries

FILES = ("text", "gallery", "references", "proxies", "target_captions", "source_captions")


def arguments(parser: argparse.ArgumentParser) -> None:
    for name in FILES:
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, required=True, type=Path, help=f"{name.replace('_', ' ')} features")
    parser.add_argument("--queries", required=True, type=Path, help="queries.jsonl, with targets for a labelled choice")
    parser.add_argument("--gallery-images", required=True, type=Path, help="gallery.jsonl")
    parser.add_argument("--benchmark", choices=sorted(BENCHMARKS), help="left out: label-free rules only")
    parser.add_argument("--key", help="the metric that decides, e.g. mAP@5 (default: that of the benchmark)")
    parser.add_argument("--exclude-reference", action="store_true", help="leave each query's reference out (CIRR)")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    add_settings(parser, Tune)


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.evaluate.tuning import sweeps

    settings = read_settings(args.settings, Tune)
    world, queries = read_world(args)
    limits = {"block": settings.block, "memory_mb": settings.memory_mb}
    result = {"queries": len(queries), "label_free": label_free(world, settings, limits)}
    if args.benchmark:
        # The image sets of CIRR have rankings of their own, which a sweep over the gallery does not make.
        queries = [dataclasses.replace(query, group=None) for query in queries]
        grid = [
            sweeps.Setting(weights, count, value)
            for weights in settings.weights
            for count in settings.proxies or [None]
            for value in settings.lambdas
        ]
        result["labelled"] = labelled(world, queries, grid, BENCHMARKS[args.benchmark], args.key, settings, limits)
    write_json(args.output, result)


def labelled(world, queries, grid, benchmark, key, settings, limits) -> dict:
    """The whole grid, the best setting by ``key``, and the bootstrap interval of its mean over queries.

    The choice was made on the same queries, so the interval shows how sharp the optimum is, not what to expect:
    ``tied`` counts the settings whose paired difference to the best has an interval that includes zero.
    """
    from ipcir_steps.evaluate.tuning import sweeps

    total, each, key = benchmark.total, benchmark.per_query, key or benchmark.tuned_by
    per_query = []  # of every setting, kept beside the metrics so that nothing is ranked twice

    def metric(rankings):
        values = total(rankings, queries)
        if key not in values:
            raise InputError(f"is {key!r}, not one of {', '.join(values)}", field="--key")
        per_query.append([scores[key] for scores in each(rankings, queries).values() if key in scores])
        if not per_query[-1]:
            raise InputError(f"is {key!r}, which has no value per query", field="--key")
        return values

    rows = sweeps.sweep(world, grid, metric, settings.k, settings.scale, **limits)
    best = max(range(len(rows)), key=lambda number: rows[number]["metrics"][key])
    tied = 0
    for values in per_query:
        low, _ = sweeps.interval(np.subtract(per_query[best], values), seed=0)
        tied += low <= 0
    chosen = rows[best] | {"key": key, "interval": list(sweeps.interval(per_query[best])), "tied": tied}
    return {"chosen": chosen, "settings": rows}


def label_free(world, settings, limits) -> dict:
    """Lambda for the default weights and all proxies by both rules."""
    from ipcir_steps.evaluate.tuning import sweeps
    from ipcir_steps.seek.fusion import robust_proxy

    proxy = robust_proxy(world.proxies, world.references, world.perturbation, scale=settings.scale)
    sides = world.text, proxy, world.gallery
    return {
        "matched_spread": sweeps.matched_spread(*sides),
        "agreed": sweeps.agreed(*sides, exclude=world.exclude, **limits),
    }


def read_world(args):
    """The queries that are in every input, as a ``sweeps.World``, and their records."""
    import torch

    from ipcir_steps.evaluate.tuning.sweeps import World
    from ipcir_steps.seek.fusion import semantic_perturbation

    inputs = {name: load_features(getattr(args, name)) for name in FILES}
    pool = inputs.pop("gallery")
    images, queries = read_images(args.gallery_images), read_queries(args.queries)
    align(pool, [image.name for image in images], file=args.gallery, other=args.gallery_images)
    absent = {name for features in inputs.values() for name in features.missing}
    queries = [query for query in queries if query.query_id not in absent]
    if not queries:
        raise InputError("has no query that is in every input", file=args.queries)
    ids, tensors = [query.query_id for query in queries], {}
    for name, features in inputs.items():
        if features.values.shape[-1] != pool.values.shape[1]:
            wrong, right = features.values.shape[-1], pool.values.shape[1]
            raise InputError(f"has {wrong} dimensions, {args.gallery} has {right}", file=getattr(args, name))
        rows = align(features, ids, file=getattr(args, name), other=args.queries)
        tensors[name] = torch.from_numpy(np.array(features.values[rows]))
    row_of = {name: row for row, name in enumerate(pool.names)}
    hidden = [row_of.get(query.reference, -1) for query in queries] if args.exclude_reference else None
    change = semantic_perturbation(*(tensors[f"{side}_captions"].transpose(0, 1) for side in ("target", "source")))
    groups = []
    for category in dict.fromkeys(query.category for query in queries):
        members = None
        if category is not None:
            members = [row_of[image.name] for image in images if category in image.categories]
            members.sort()
        groups.append(([row for row, query in enumerate(queries) if query.category == category], members))
    names = pool.names
    parts = tensors["proxies"], tensors["references"], change
    return World(tensors["text"], pool.values, *parts, ids, names, hidden, groups), queries
