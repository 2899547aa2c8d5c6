"""``ipcir ranking``: all variants of one (backbone, baseline) from one pass over the gallery."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from ipcir_steps.config.retrieval import RankFusion, Ranking
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.arguments import Directory, InFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json
from ipcir_steps.core.marks import add_mark, marked
from ipcir_steps.core.rankings import write_rankings
from ipcir_steps.core.records import Query
from ipcir_steps.seek.ranking import inputs
from ipcir_steps.variants import BASE, RANKED, card_of


def arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)
    add_fused(parser)
    add_lambda(parser)
    add_rrf(parser)
    help_text = "rrf: weight of the text in [0, 1], where --lambda-file chooses none"
    parser.add_argument("--rrf-lambda", type=float, default=RankFusion().lambda_, metavar="X", help=help_text)
    parser.add_argument("--variants", nargs="+", default=[BASE], choices=RANKED, metavar="V", help=", ".join(RANKED))
    help_text = "lists also hold the targets below their end, at their places (i-CIR)"
    parser.add_argument("--whole", action="store_true", help=help_text)
    add_mark(parser)
    parser.add_argument("--output-dir", required=True, type=Directory, help="gets VARIANT.{rankings,subset}.parquet")
    add_settings(parser, Ranking)


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.seek.ranking.lists import rank_gallery, rank_subsets

    settings = read_settings(args.settings, Ranking)
    lams = lambdas_of(args.variants, args) | rank_fusions(args)
    found = inputs.from_args(args, proxies=fused_files(args.variants, args.fusion))
    rule, own = own_lambdas(args.lambda_file, found.queries, args.variants)
    lists = rank_gallery(
        found,
        {variant: (lam,) for variant, lam in {**lams, **own}.items()},
        settings,
        args.whole,
        args.rrf_k,
    )
    for variant, (rows,) in lists.items():
        about = {"variant": variant, "lambda": lams[variant], "combine": card_of(variant).combine}
        about |= {"rule": rule} if variant in own else {}
        about |= {"rrf_k": args.rrf_k} if card_of(variant).combine == "rrf" else {}
        about |= {"excluded_reference": args.exclude_reference} | ({"whole": True} if args.whole else {})
        write_rankings(args.output_dir / f"{variant}.rankings.parquet", rows, marked(about, args.mark))
    for variant, rows in rank_subsets(found, {**lams, **own}, args.rrf_k).items():
        write_rankings(args.output_dir / f"{variant}.subset.parquet", rows, marked({"variant": variant}, args.mark))


def add_fused(parser: argparse.ArgumentParser) -> None:
    help_text = "fused proxies, named PROXY.safetensors"
    parser.add_argument("--fusion", nargs="*", default=[], type=InFile, metavar="FILE", help=help_text)


def add_lambda(parser: argparse.ArgumentParser) -> None:
    """Lambda as one number, or as ``ipcir tune --per-variant`` chose it; ``lambdas_of`` reads it."""
    parser.add_argument("--lambda", dest="lam", type=float, default=0.3, metavar="X", help="weight of S_t in [0, 1]")
    parser.add_argument(
        "--lambda-file",
        type=InFile,
        metavar="FILE",
        help="each variant's own lambda, from ipcir tune --per-variant, or each query's, from ipcir balance",
    )


def add_rrf(parser: argparse.ArgumentParser) -> None:
    help_text = "rrf: an image counts 1 / (K + its rank) on either side (default: %(default)s)"
    parser.add_argument("--rrf-k", type=int, default=RankFusion().k, metavar="K", help=help_text)


def rank_fusions(args: argparse.Namespace) -> dict[str, float]:
    """{variant: what the text counts} of the rank fusions whose lambda no file chooses; ``--lambda`` is not theirs.

    Raises InputError where it is not within [0, 1].
    """
    if args.lambda_file:
        return {}
    if not 0 <= args.rrf_lambda <= 1:
        raise InputError(f"is {args.rrf_lambda}, not within [0, 1]", field="--rrf-lambda")
    return {variant: args.rrf_lambda for variant in args.variants if card_of(variant).combine == "rrf"}


def lambdas_of(variants: Iterable[str], args: argparse.Namespace) -> dict[str, float]:
    """{variant: lambda to rank it with}; 1 for base. Raises InputError where one is missing or not within [0, 1]."""
    variants = list(variants)
    if args.lambda_file:
        lams, place = read_lambdas(args.lambda_file), {"file": args.lambda_file}
    else:
        lams, place = dict.fromkeys(variants, args.lam), {"field": "--lambda"}
    lams[BASE] = 1.0
    for variant in variants:
        if variant not in lams:
            remedy = "Make the file with ipcir tune --per-variant."
            raise InputError("is missing", **place, record=variant, remedy=remedy)
        if not 0 <= lams[variant] <= 1:
            raise InputError(f"is {lams[variant]}, not within [0, 1]", **place, record=variant)
    return {variant: lams[variant] for variant in variants}


def read_lambdas(path: Path) -> dict[str, float]:
    """{variant: lambda} of a file that ``ipcir tune --per-variant`` wrote, or ``ipcir balance`` (the mean over the
    queries). Raises InputError when it is another one."""
    content = read_json(path)
    try:
        return {variant: float(choice["lambda"]) for variant, choice in content["chosen"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        remedy = "Make the file with ipcir tune --per-variant."
        raise InputError("is not {variant: lambda}", file=path, field="chosen", remedy=remedy) from None


def own_lambdas(path: Path | None, queries: Sequence[Query], variants: Iterable[str]) -> tuple[str | None, dict]:
    """The rule, and {variant: each query's own lambda, float32 [Q]}, of a file that ``ipcir balance`` wrote; nothing of
    another file. Raises InputError naming a query that has none, or one that is not within [0, 1]."""
    import torch

    content = read_json(path) if path else {}
    if not content.get("rule"):
        return None, {}
    told, found = content.get("queries", {}), {}
    for variant in sorted(told.keys() & set(variants)):
        values = {query.query_id: told[variant].get(query.query_id) for query in queries}
        wrong = [name for name, value in values.items() if not isinstance(value, int | float) or not 0 <= value <= 1]
        if wrong:
            problem = f"lambda is {values[wrong[0]]}, not within [0, 1]"
            remedy = "Make the file with ipcir balance, from the same queries."
            raise InputError(problem, file=path, record=wrong[0], field=variant, remedy=remedy)
        found[variant] = torch.tensor(list(values.values()), dtype=torch.float32)
    return content["rule"], found


def fused_files(variants: Iterable[str], paths: Sequence[Path]) -> dict[str, Path]:
    """The file of each fused proxy that the variants need, found by its name. Raises InputError for one that lacks."""
    found = {path.name.removesuffix(".safetensors"): path for path in paths}
    needed = {card_of(variant).proxy for variant in variants} - {None}
    for name in sorted(needed - found.keys()):
        raise InputError(f"lacks {name}.safetensors", field="--fusion", remedy="Make it with ipcir fusion.")
    return {name: found[name] for name in sorted(needed)}
