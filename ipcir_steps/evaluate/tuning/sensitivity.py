"""How much do lambda, the weights, the number of proxies and the parts of eq. 1 matter? All from one pass."""

import argparse
import dataclasses
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.figures import Sensitivity
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import seed, write_json
from ipcir_steps.evaluate.tuning.tune import FILES, read_world
from ipcir_steps.variants import METHOD


def grids(count: int, weights, weight: float, settings: Sensitivity) -> dict[str, list]:
    """{figure: [Setting]}: each varies one thing (the heat map two) around the configured weights and lambda.

    count: proxies per query. ``lambda``: fig. 7; ``proxies``: fig. 8; ``components``: fig. 5, the seven ways to leave
    parts of eq. 1 out; ``weights``: proxy weight times lambda.
    """
    from ipcir_steps.evaluate.tuning.sweeps import COMPONENTS, Setting

    weights = tuple(weights)
    kept = [tuple(w * bit for w, bit in zip(weights, bits, strict=True)) for bits in COMPONENTS]
    return {
        "lambda": [Setting(weights, None, value) for value in settings.lambdas],
        "proxies": [Setting(weights, number, weight) for number in range(1, count + 1)],
        "components": [Setting(parts, None, weight) for parts in kept if any(parts)],
        "weights": [
            Setting((factor, *weights[1:]), None, value)
            for factor in settings.proxy_weights
            for value in settings.lambdas
            if factor or any(weights[1:])
        ],
    }


def measure(world, queries, protocol: str, weights, weight: float, scale: str, run_seed: int, settings) -> dict:
    """{figure: [row]}: weights, proxies, lambda, metrics, and the 95 % bootstrap interval of the metric that decides.

    world, queries: as ``tune.read_world`` gives them. FashionIQ's interval is over all queries, whatever the category.
    """
    from ipcir_steps.evaluate.tuning.sweeps import interval, sweep

    card = BENCHMARKS[protocol]
    # The image sets of CIRR have rankings of their own, which a sweep over the gallery does not make.
    queries = [dataclasses.replace(query, group=None) for query in queries]
    key, values = card.tuned_by, []

    def metric(rankings):
        values.append([scores[key] for scores in card.per_query(rankings, queries).values()])
        return card.total(rankings, queries)

    figures = grids(world.proxies.shape[1], weights, weight, settings)
    rows = sweep(world, [s for grid in figures.values() for s in grid], metric, settings.k, scale)
    for row, per_query in zip(rows, values, strict=True):
        draw = {"draws": settings.resamples, "seed": seed(run_seed, "sensitivity") % (1 << 31)}
        row["interval"] = {key: list(interval(per_query, **draw))}
    parts, start = {}, 0
    for name, grid in figures.items():
        parts[name], start = rows[start : start + len(grid)], start + len(grid)
    return parts


def arguments(parser: argparse.ArgumentParser) -> None:
    for name in FILES:
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, required=True, type=Path, help=f"{name.replace('_', ' ')} features")
    parser.add_argument("--queries", required=True, type=Path, help="queries.jsonl, with targets")
    parser.add_argument("--gallery-images", required=True, type=Path, help="gallery.jsonl")
    parser.add_argument("--benchmark", required=True, choices=sorted(BENCHMARKS), help="whose rules to score by")
    parser.add_argument("--exclude-reference", action="store_true", help="leave each query's reference out (CIRR)")
    parser.add_argument("--weights", type=float, nargs=3, default=[1.0, 1.0, 1.0], help="proxy, query, perturbation")
    parser.add_argument("--scale", choices=["dataset", "query"], default="dataset", help="as in fusion")
    parser.add_argument("--lambda", dest="lam", type=float, default=0.3, metavar="X", help="weight of S_t in [0, 1]")
    parser.add_argument("--balance", type=Path, metavar="FILE", help=f"lambda of {METHOD}, from ipcir balance")
    parser.add_argument("--seed", type=int, default=0, help="run seed (intervals)")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    add_settings(parser, Sensitivity)


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.seek.ranking.command import read_balance

    settings = read_settings(args.settings, Sensitivity)
    if not 0 <= args.lam <= 1:
        raise InputError(f"is {args.lam}, not within [0, 1]", field="--lambda")
    weight = read_balance(args.balance)[METHOD] if args.balance else args.lam
    world, queries = read_world(args)
    parts = measure(world, queries, args.benchmark, args.weights, weight, args.scale, args.seed, settings)
    chosen = {"weights": args.weights, "lambda": weight, "scale": args.scale}
    key = BENCHMARKS[args.benchmark].tuned_by
    head = {"protocol": args.benchmark, "key": key, "queries": len(queries), "chosen": chosen}
    write_json(args.output, head | parts)
