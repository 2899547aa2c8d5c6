"""``ipcir tune``: lambda and the weights of eq. 1, with labels or without."""

import argparse
import itertools

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.retrieval import Grid, Tuning
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.arguments import OutFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_json
from ipcir_steps.core.records import read_queries
from ipcir_steps.evaluate.tuning.sweep import PARTS, Setting, add_parts, read_parts
from ipcir_steps.seek.ranking import inputs
from ipcir_steps.seek.ranking.command import add_fused, add_rrf, fused_files
from ipcir_steps.variants import BASE, RANKED, VARIANTS

WITH_LABELS = "Choose lambda on a labelled split, or leave --benchmark out."


def arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)
    parser.add_argument(
        "--per-variant", action="store_true", help="choose each variant's own lambda, the controls' too; needs --fusion"
    )
    add_fused(parser)
    parser.add_argument(
        "--variants", nargs="+", default=list(VARIANTS), choices=RANKED, metavar="V",
        help=f"with --per-variant: those whose lambda is chosen (default: {' '.join(VARIANTS)})",
    )  # fmt: skip
    add_rrf(parser)
    add_parts(parser, required=False)
    parser.add_argument(
        "--benchmark", choices=sorted(BENCHMARKS), help="benchmark whose metric decides; without it no labels are used"
    )
    parser.add_argument("--key", help="the metric that decides, e.g. mAP@10 (default: the benchmark's)")
    parser.add_argument("--output", required=True, type=OutFile, help="JSON file to write")
    add_settings(parser, Grid)


def main(args: argparse.Namespace) -> None:
    write_json(args.output, tune_variants(args) if args.per_variant else tune_weights(args))


def tune_variants(args: argparse.Namespace) -> dict:
    """Each variant's own lambda on labelled queries: {"key", "queries", "chosen", "lambdas", "curves"}.

    Raises InputError for queries without targets, an unknown metric, and settings that only a sweep over the weights
    has.
    """
    from ipcir_steps.evaluate.tuning.choose import per_variant, without_groups
    from ipcir_steps.seek.ranking.lists import rank_gallery

    settings = read_settings(args.settings, Tuning)
    needed(args, "fusion", "benchmark")
    variants = [variant for variant in args.variants if variant != BASE]
    queries = without_groups(read_queries(args.queries))  # those without a list too, which count as not found
    if not all(query.targets for query in queries):
        raise InputError("has queries without targets", file=args.queries, remedy=WITH_LABELS)
    found = inputs.from_args(args, proxies=fused_files(variants, args.fusion))
    benchmark = BENCHMARKS[args.benchmark]
    rankings = rank_gallery(found, dict.fromkeys(variants, settings.lambdas), settings, benchmark.whole, args.rrf_k)
    key = args.key or benchmark.tuned_by
    chosen = per_variant(rankings, queries, benchmark, key, settings.lambdas)
    head = {"key": key, "queries": len(queries), "chosen": chosen["chosen"], "lambdas": list(settings.lambdas)}
    return head | {"curves": chosen["curves"]}


def tune_weights(args: argparse.Namespace) -> dict:
    """Lambda by the rules that need no labels and, with --benchmark, the best setting of the grid of IP-CIR's weights,
    numbers of proxies and lambdas: {"queries", "label_free", "labelled"}."""
    from ipcir_steps.evaluate.tuning.choose import label_free, labelled

    settings = read_settings(args.settings, Grid)
    needed(args, *PARTS)
    found, components = read_parts(args)
    result = {"queries": len(found.queries), "label_free": label_free(found, components, settings)}
    if args.benchmark:
        benchmark = BENCHMARKS[args.benchmark]
        axes = settings.weights, settings.proxies or [None], settings.lambdas
        grid = [Setting(*values) for values in itertools.product(*axes)]
        result["labelled"] = labelled(found, components, grid, benchmark, args.key or benchmark.tuned_by, settings)
    return result


def needed(args: argparse.Namespace, *names: str) -> None:
    """Raises InputError naming the first option of ``names`` that was not given."""
    for name in names:
        if not getattr(args, name):
            how = "with" if args.per_variant else "without"
            raise InputError(f"is needed {how} --per-variant", field=f"--{name.replace('_', '-')}")
