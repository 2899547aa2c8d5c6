"""``ipcir frontier``: retrieval beside cost for several ways to draw the same queries' proxies."""

import argparse

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.frontier import Frontier
from ipcir_steps.config.retrieval import Fusion, Ranking
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.arguments import InFile, OutFile, RoleFile, Root
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import load_features
from ipcir_steps.core.files import read_json, write_json, write_text
from ipcir_steps.core.marks import add_mark, marked
from ipcir_steps.seek.ranking import inputs
from ipcir_steps.seek.ranking.command import add_lambda, lambdas_of
from ipcir_steps.variants import UNDRAWN


class Settings(Frontier):
    """What is compared, with fusion and ranking as they are configured. `settings` is told, what was drawn is given."""

    fusion: Fusion = Fusion()
    ranking: Ranking = Ranking()


def arguments(parser: argparse.ArgumentParser) -> None:
    from ipcir_steps.seek.stopping.search import SHARED

    inputs.add_arguments(parser)
    for name in SHARED:
        parser.add_argument(f"--{name.replace('_', '-')}", required=True, type=InFile, help=f"features of {name}")
    parser.add_argument(
        "--drawn", type=RoleFile.parse, nargs="+", required=True, metavar="SETTING=FILE",
        help="proxy features [Q, N, D] of each setting, `configured` among them",
    )  # fmt: skip
    parser.add_argument("--costs", required=True, type=InFile, help="what ipcir costs wrote")
    add_lambda(parser)
    parser.add_argument(
        "--benchmark", required=True, choices=sorted(BENCHMARKS), help="benchmark by whose rules to score"
    )
    parser.add_argument("--dataset", required=True, help="its name, for the table")
    parser.add_argument("--seed", type=int, default=0, help="run seed (intervals, the control other_proxy)")
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap resamples of the 95%% intervals")
    add_mark(parser)
    parser.add_argument("--output", required=True, type=OutFile, help="JSON file to write; it holds no times")
    parser.add_argument("--table", type=OutFile, help="Markdown table to write, with the measured times")
    parser.add_argument("--svg", type=OutFile, help="figure to write, with --png")
    parser.add_argument("--png", type=OutFile, help="the same at 200 dpi")
    parser.add_argument("--page", type=OutFile, help="HTML page to write; it holds no times")
    parser.add_argument(
        "--indices", type=RoleFile.parse, nargs="+", default=[], metavar="SETTING=FILE",
        help="--page: index.jsonl of each setting's images, of which the page shows some",
    )  # fmt: skip
    parser.add_argument("--reference-images", type=InFile, help="--indices: references.jsonl")
    parser.add_argument("--root", type=Root, help="--indices: directory that the dataset's image paths are relative to")
    add_settings(parser, Settings)


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.evaluate.frontier import figure, page, rows, search, table
    from ipcir_steps.evaluate.reporting.figures import style
    from ipcir_steps.seek.stopping.search import IMAGINED

    settings = read_settings(args.settings, Settings)
    lams = lambdas_of([*UNDRAWN, *IMAGINED], args)
    shared = search.read(args, lams, settings.fusion, settings.ranking)
    costs = read_json(args.costs)["settings"]
    drawn = {file.role: shared.drawn(load_features(file), file) for file in args.drawn}
    found = list(rows.rows(shared, drawn, costs, settings))
    result = {
        "dataset": args.dataset,
        "protocol": args.benchmark,
        "key": shared.key,
        "queries": len(shared.queries),
        "lambda": lams,
        "top": settings.top,
        "tolerance": settings.tolerance,
        "chosen": rows.chosen(found, settings.tolerance),
        "settings": {name: point.model_dump(mode="json") for name, point in settings.settings.items()},
        "rows": found,
    }
    result = marked(result, args.mark)
    write_json(args.output, result)
    if args.table:
        write_text(args.table, table.markdown(result, costs))
    if args.svg and args.png:
        style.save(figure.draw(result, costs), args.svg, args.png, args.mark)
    if args.page:
        write_text(args.page, page.html(result, _shown(args, shared)))


def _shown(args: argparse.Namespace, shared) -> list:
    """What the settings drew for some queries. Raises InputError where it is not said where their pictures lie."""
    from ipcir_steps.evaluate.frontier.page import pictures

    if not args.indices:
        return []
    for name in ("reference_images", "root"):
        if getattr(args, name) is None:
            raise InputError("is missing", field=f"--{name.replace('_', '-')}", remedy="--indices needs it.")
    return pictures.read(shared.queries, [args.reference_images, args.gallery_images], args.root, args.indices)
