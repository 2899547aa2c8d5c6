"""How much do lambda, the weights, the number of proxies and the parts of eq. 1 matter? All from one pass."""

import argparse

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.figures import Sensitivity
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.arguments import OutFile
from ipcir_steps.core.files import seed, write_json
from ipcir_steps.core.marks import add_mark, marked
from ipcir_steps.core.statistics import interval
from ipcir_steps.evaluate.tuning.sweep import COMPONENTS, Components, Setting, add_parts, read_parts, sweep
from ipcir_steps.seek.ranking import inputs
from ipcir_steps.seek.ranking.command import add_lambda, lambdas_of
from ipcir_steps.variants import METHOD


def grids(count: int, weights, lam: float, settings: Sensitivity) -> dict[str, list[Setting]]:
    """Each figure's settings: one thing varies (two in the heat map) around the configured weights and lambda.

    count: proxies per query. ``lambda``: fig. 7; ``proxies``: fig. 8; ``components``: fig. 5, the seven ways to leave
    parts of eq. 1 out; ``weights``: proxy weight times lambda.
    """
    weights = tuple(weights)
    kept = [tuple(w * bit for w, bit in zip(weights, bits, strict=True)) for bits in COMPONENTS]
    return {
        "lambda": [Setting(weights, None, value) for value in settings.lambdas],
        "proxies": [Setting(weights, number, lam) for number in range(1, count + 1)],
        "components": [Setting(parts, None, lam) for parts in kept if any(parts)],
        "weights": [
            Setting((factor, *weights[1:]), None, value)
            for factor in settings.proxy_weights
            for value in settings.lambdas
            if factor or any(weights[1:])
        ],
    }


def measure(
    found: inputs.RetrievalInputs, components: Components, benchmark, figures: dict[str, list[Setting]], scale: str,
    run_seed: int, settings: Sensitivity,
) -> dict[str, list[dict]]:  # fmt: skip
    """{figure: [row]}: weights, proxies, lambda, metrics, and the 95 % bootstrap interval of the metric
    that decides (``tuned_by``).

    figures: what ``grids`` gives. FashionIQ's interval is over all queries, whatever the category.
    """
    from ipcir_steps.evaluate.tuning.choose import without_groups

    queries = without_groups(found.queries)
    key, values = benchmark.tuned_by, []

    def metric(rankings):
        values.append([scores[key] for scores in benchmark.per_query(rankings, queries).values()])
        return benchmark.total(rankings, queries)

    every = [setting for grid in figures.values() for setting in grid]
    rows = sweep(found, components, every, metric, settings.k, scale, benchmark.whole)
    for row, per_query in zip(rows, values, strict=True):
        drawn = interval(per_query, seed=seed(run_seed, "sensitivity") % (1 << 31), resamples=settings.resamples)
        row["interval"] = {key: list(drawn)}
    parts, start = {}, 0
    for name, grid in figures.items():
        parts[name], start = rows[start : start + len(grid)], start + len(grid)
    return parts


def arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)
    add_parts(parser, required=True)
    add_lambda(parser)
    parser.add_argument(
        "--benchmark", required=True, choices=sorted(BENCHMARKS), help="benchmark by whose rules to score"
    )
    parser.add_argument("--weights", type=float, nargs=3, default=[1.0, 1.0, 1.0], help="proxy, query, perturbation")
    parser.add_argument("--scale", choices=["dataset", "query"], default="dataset", help="as in fusion")
    parser.add_argument("--seed", type=int, default=0, help="run seed (intervals)")
    add_mark(parser)
    parser.add_argument("--output", required=True, type=OutFile, help="JSON file to write")
    add_settings(parser, Sensitivity)


def main(args: argparse.Namespace) -> None:
    settings = read_settings(args.settings, Sensitivity)
    lam, benchmark = lambdas_of([METHOD], args)[METHOD], BENCHMARKS[args.benchmark]
    found, components = read_parts(args)
    figures = grids(components.proxies.shape[1], args.weights, lam, settings)
    parts = measure(found, components, benchmark, figures, args.scale, args.seed, settings)
    chosen = {"weights": args.weights, "lambda": lam, "scale": args.scale}
    head = {"protocol": args.benchmark, "key": benchmark.tuned_by, "queries": len(found.queries), "chosen": chosen}
    write_json(args.output, marked(head | parts, args.mark))
