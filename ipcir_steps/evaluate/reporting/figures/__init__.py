"""Figures: scores and controls, sensitivity, queries, costs. SVG and PNG, the same bytes from the same inputs."""

import argparse
from pathlib import Path

from ipcir_steps.config.figures import Figures
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.files import read_json

SWEEPS = {"fig5": "components", "fig7": "lambdas", "fig8": "proxies", "heatmap": "heatmap"}
QUERIES = {
    "fig3": "top_one", "fig4": "top_five", "fig6": "ablation", "layouts": "layouts", "failures": "failures",
}  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    from ipcir_steps.evaluate.reporting import examples

    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    scores = kinds.add_parser("scores", help="the metrics of every variant of one dataset, with intervals")
    scores.add_argument("--results", type=Path, required=True, help="result file of a dataset (JSON)")
    controls = kinds.add_parser("controls", help="gains of the method and of both controls")
    controls.add_argument("--results", type=Path, nargs="+", required=True, help="result files")
    for name, function in SWEEPS.items():
        sweep = kinds.add_parser(name, help=f"sensitivity: {function}")
        sweep.add_argument("--sensitivity", type=Path, nargs="+", required=True, help="sensitivity.json files")
    for name, function in QUERIES.items():
        query = kinds.add_parser(name, help=f"queries: {function.replace('_', ' ')}")
        query.add_argument("--dataset", required=True, help="its name, for the title")
        examples.add_arguments(query)
        add_settings(query, Figures)
    costs = kinds.add_parser("costs", help="time, memory and GPU cost of each step")
    costs.add_argument("--results", type=Path, nargs="+", required=True, help="result files")
    costs.add_argument("--splits", nargs="+", required=True, help="the split of each result file")
    costs.add_argument("--benchmarks", type=Path, required=True, help="directory of the steps' benchmark files")
    costs.add_argument("--records", type=Path, help="directory of the steps' records, which know about GPUs")
    for parser in kinds.choices.values():
        parser.add_argument("--svg", type=Path, required=True, help="vector figure to write")
        parser.add_argument("--png", type=Path, required=True, help="raster figure to write, 200 dpi")


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.evaluate.reporting.figures import style

    style.save(draw(args), args.svg, args.png)


def draw(args: argparse.Namespace):
    """The matplotlib figure that the arguments ask for."""
    if args.kind == "scores":
        from ipcir_steps.evaluate.reporting.figures.scores import scores

        return scores(read_json(args.results))
    if args.kind == "controls":
        from ipcir_steps.evaluate.reporting.figures.scores import controls

        return controls([read_json(path) for path in args.results])
    if args.kind in SWEEPS:
        from ipcir_steps.evaluate.reporting.figures import curves

        sweeps = [read_json(path) | curves.name(path) for path in args.sensitivity]
        return getattr(curves, SWEEPS[args.kind])(sweeps)
    if args.kind == "costs":
        return draw_costs(args)
    from ipcir_steps.evaluate.reporting import examples
    from ipcir_steps.evaluate.reporting.figures import queries

    settings = read_settings(args.settings, Figures)
    return getattr(queries, QUERIES[args.kind])(examples.read(args), settings.examples, args.dataset, settings.top)


def draw_costs(args: argparse.Namespace):
    from ipcir_steps.evaluate.reporting.figures import costs

    results = [read_json(path) for path in args.results]
    runs, gpu = {}, {}
    for result, split in zip(results, args.splits, strict=True):
        name = result["dataset"]
        runs[name] = costs.measured(args.benchmarks / name / split)
        below = args.records / "results" / name / split if args.records else None
        gpu[name] = costs.gpu_seconds(costs.records_below(below)) if below else 0.0
    return costs.costs(runs, {result["dataset"]: result["queries"] for result in results}, gpu)
