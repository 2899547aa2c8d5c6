"""Figures: scores and controls, sensitivity, queries, costs. SVG and PNG, the same bytes from the same inputs.

A new one is a function with ``@figure`` in one of the modules below, or in a module of its own that is imported here.
"""

import argparse

from ipcir_steps.config.figures import Figures
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.arguments import InFile, OutFile, Root
from ipcir_steps.core.files import read_json
from ipcir_steps.core.marks import marks_of
from ipcir_steps.evaluate.reporting import examples
from ipcir_steps.evaluate.reporting.figures import costs, curves, method, queries, scores, style
from ipcir_steps.evaluate.reporting.figures.cards import FIGURES

__all__ = ["FIGURES", "arguments", "costs", "curves", "draw", "main", "method", "queries", "scores"]


def arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", metavar="FIGURE", required=True)
    for name, card in FIGURES.items():
        one = kinds.add_parser(name, help=card.help.replace("%", "%%"))
        ARGUMENTS[card.of](one)
        one.add_argument("--svg", type=OutFile, required=True, help="vector figure to write")
        one.add_argument("--png", type=OutFile, required=True, help="raster figure to write, 200 dpi")


def main(args: argparse.Namespace) -> None:
    style.save(draw(args), args.svg, args.png, mark_of(args))


def mark_of(args: argparse.Namespace) -> str | None:
    """The marks of what a figure is drawn from."""
    if hasattr(args, "mark"):
        return args.mark
    given = getattr(args, "results", None) or args.sensitivity
    return marks_of(read_json(path) for path in (given if isinstance(given, list) else [given]))


def draw(args: argparse.Namespace):
    """The matplotlib figure that the arguments ask for."""
    card = FIGURES[args.kind]
    return card.draw(*READERS[card.of](args))


def _result_arguments(parser) -> None:
    parser.add_argument("--results", type=InFile, required=True, help="result file of a dataset (JSON)")


def _results_arguments(parser) -> None:
    parser.add_argument("--results", type=InFile, nargs="+", required=True, help="result files")


def _sweeps_arguments(parser) -> None:
    parser.add_argument("--sensitivity", type=InFile, nargs="+", required=True, help="sensitivity.json files")


def _queries_arguments(parser) -> None:
    parser.add_argument("--dataset", required=True, help="its name, for the title")
    examples.add_arguments(parser)
    add_settings(parser, Figures)


def _run_arguments(parser) -> None:
    _results_arguments(parser)
    parser.add_argument("--splits", nargs="+", required=True, help="the split of each result file")
    parser.add_argument("--benchmarks", type=Root, required=True, help="directory of the steps' benchmark files")
    parser.add_argument("--records", type=Root, help="directory of the steps' records, which know about GPUs")


def _read_queries(args):
    settings = read_settings(args.settings, Figures)
    return examples.read(args), settings.examples, args.dataset, settings.top


ARGUMENTS = {
    "result": _result_arguments,
    "results": _results_arguments,
    "sweeps": _sweeps_arguments,
    "queries": _queries_arguments,
    "run": _run_arguments,
}
# What each kind of figure is drawn from, as the arguments of its function.
READERS = {
    "result": lambda args: [read_json(args.results)],
    "results": lambda args: [[read_json(path) for path in args.results]],
    "sweeps": lambda args: [[read_json(path) | curves.name(path) for path in args.sensitivity]],
    "queries": _read_queries,
    "run": lambda args: costs.of_run([read_json(path) for path in args.results], args),
}
