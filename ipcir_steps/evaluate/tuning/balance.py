"""Choosing lambda (eq. 2) for every variant on a labelled split: each variant, the controls too, gets its own best."""

import argparse
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.retrieval import Tune
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_json
from ipcir_steps.core.records import read_queries
from ipcir_steps.variants import BASE, VARIANTS


def curves(rankings: dict, queries: list, protocol: str, lambdas) -> dict[str, list[float]]:
    """{variant: value of the protocol's deciding metric (tuned_by) per lambda}, fractions.

    rankings: {variant: one [(query id, [(image, score)])] per lambda}, as ``rank_files`` makes them.
    """
    card, found = BENCHMARKS[protocol], {}
    for variant, of_lambdas in rankings.items():
        lists = [{query: [name for name, _ in filled] for query, filled in rows} for rows in of_lambdas]
        found[variant] = [card.total(rows, queries)[card.tuned_by] for rows in lists]
        assert len(found[variant]) == len(lambdas)
    return found


def choose(curve: list[float], lambdas) -> dict:
    """The best lambda of a curve; of equal ones the greatest, which trusts the proxy least.

    >>> choose([0.2, 0.5, 0.5], (0.0, 0.5, 1.0))
    {'lambda': 1.0, 'value': 0.5}
    """
    best = max(range(len(curve)), key=lambda number: (curve[number], lambdas[number]))
    return {"lambda": lambdas[best], "value": curve[best]}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", required=True, type=Path, help="text features of a baseline, one row per query")
    parser.add_argument("--gallery", required=True, type=Path, help="gallery features")
    parser.add_argument("--queries", required=True, type=Path, help="queries.jsonl, with targets")
    parser.add_argument("--gallery-images", required=True, type=Path, help="gallery.jsonl")
    parser.add_argument("--fusion", nargs="+", type=Path, metavar="FILE", help="fused proxies, VARIANT.safetensors")
    parser.add_argument("--benchmark", required=True, choices=sorted(BENCHMARKS), help="whose metric decides")
    parser.add_argument("--exclude-reference", action="store_true", help="leave each query's reference out (CIRR)")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    add_settings(parser, Tune)


def main(args: argparse.Namespace) -> None:
    import dataclasses

    from ipcir_steps.seek.ranking.command import fusion_files, rank_files

    settings = read_settings(args.settings, Tune)
    queries = read_queries(args.queries)
    if not all(query.targets for query in queries):
        raise InputError("has queries without targets", file=args.queries, remedy="Choose lambda on a labelled split.")
    variants = [variant for variant in VARIANTS if variant != BASE]
    fused = fusion_files(variants, args.fusion)
    weights = dict.fromkeys(variants, settings.lambdas)
    rankings = rank_files(
        args.text, args.gallery, args.queries, args.gallery_images, fused, weights, args.exclude_reference, settings
    )
    # The image sets of CIRR have rankings of their own, which are not made here.
    queries = [dataclasses.replace(query, group=None) for query in queries]
    values = curves(rankings, queries, args.benchmark, settings.lambdas)
    chosen = {BASE: {"lambda": 1.0}} | {name: choose(curve, settings.lambdas) for name, curve in values.items()}
    result = {"key": BENCHMARKS[args.benchmark].tuned_by, "queries": len(queries), "chosen": chosen}
    write_json(args.output, result | {"lambdas": list(settings.lambdas), "curves": values})
