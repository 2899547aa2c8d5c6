"""``ipcir rerank``: lists in the order of ranking and judgement together; or the mix that suits labelled queries."""

import argparse
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.config.verification import Combination
from ipcir_steps.core.arguments import Directory, InFile, OutFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, read_jsonl, write_json
from ipcir_steps.core.marks import add_mark, marked
from ipcir_steps.core.rankings import Entry, about_rankings, names_by_place, ranked, read_scored, write_rankings
from ipcir_steps.core.records import Query, read_queries
from ipcir_steps.variants import verified_name
from ipcir_steps.verify.combine import Judgements, Mix, judgements_of, reordered

Lists = Mapping[str, Sequence[Entry]]
KINDS = (".rankings.parquet", ".subset.parquet")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rankings", type=InFile, nargs="+", required=True, help="lists, named VARIANT.{rankings,subset}.parquet"
    )
    parser.add_argument("--judgements", type=InFile, required=True, help="what ipcir verify wrote, gathered")
    parser.add_argument("--queries", type=InFile, required=True, help="queries.jsonl: the order of the output")
    parser.add_argument("--k", type=int, default=20, help="first candidates of each list that are ordered anew")
    parser.add_argument("--choice", type=InFile, help="each variant's weight and temperature, from --choose")
    parser.add_argument("--choose", type=OutFile, help="write each variant's best weight and temperature here instead")
    parser.add_argument("--benchmark", choices=sorted(BENCHMARKS), help="--choose: benchmark whose metric decides")
    add_mark(parser)
    parser.add_argument("--output-dir", type=Directory, help="gets VARIANT_verified.{rankings,subset}.parquet")
    add_settings(parser, Combination)


def main(args: argparse.Namespace) -> None:
    settings = read_settings(args.settings, Combination)
    judgements = {r["query_id"]: judgements_of(r) for r in read_jsonl(args.judgements)}
    queries = read_queries(args.queries)
    if args.choose:
        write_json(args.choose, choose(args, queries, judgements, settings))
        return
    if not args.output_dir:
        raise InputError("is needed without --choose", field="--output-dir")
    mixes = _choices(args.choice)
    for path, variant, kind in _named(args.rankings):
        mix = _mix(mixes, variant, settings, args.choice)
        rows, counts = verified(read_scored(path), queries, judgements, args.k, mix)
        told = about_rankings(path) | {
            "variant": verified_name(variant),
            "verification": {**counts, "k": args.k, **dataclasses.asdict(mix)},
        }
        write_rankings(args.output_dir / f"{verified_name(variant)}{kind}", rows, marked(told, args.mark))


def verified(
    lists: Lists, queries: Sequence[Query], judgements: Mapping[str, Judgements], k: int, mix: Mix
) -> tuple[list[tuple[str, Sequence[Entry]]], dict[str, int]]:
    """([(query id, entries)] in the order of the queries, {"lists", "unverified"}): a list of which one of the first k
    candidates has no judgement stays as it was, and is counted."""
    rows, kept = [], 0
    for query in queries:
        if query.query_id not in lists:
            continue
        entries = lists[query.query_id]
        new = reordered(entries, judgements.get(query.query_id, {}), k, mix)
        kept += new is None
        rows.append((query.query_id, entries if new is None else new))
    return rows, {"lists": len(rows), "unverified": kept}


def choose(
    args: argparse.Namespace, queries: Sequence[Query], judgements: Mapping[str, Judgements], settings: Combination
) -> dict:
    """{"key", "queries", "chosen": {variant: weight, temperature, value}, "curves"}: the best mix of each variant by
    the metric that decides; of equal ones the one that trusts the judge least. Raises InputError without targets."""
    if not args.benchmark:
        raise InputError("is needed with --choose", field="--benchmark")
    if not all(query.targets for query in queries):
        raise InputError("has queries without targets", file=args.queries, remedy="Choose on a labelled split.")
    card = BENCHMARKS[args.benchmark]
    asked, key = [_without_group(query) for query in queries], card.tuned_by
    mixes = [Mix(*pair) for pair in itertools.product(sorted(settings.weights), settings.temperatures)]
    chosen, curves = {}, {}
    for path, variant, kind in _named(args.rankings):
        if kind != KINDS[0]:
            continue
        lists = read_scored(path)
        curve = []
        for mix in mixes:
            rows, _ = verified(lists, queries, judgements, args.k, mix)
            names = {query: names_by_place([(at, n) for at, n, _ in ranked(filled)]) for query, filled in rows}
            curve.append(card.total(names, asked)[key])
        best = max(range(len(mixes)), key=lambda number: (curve[number], -number))
        chosen[variant] = {"weight": mixes[best].weight, "temperature": mixes[best].temperature, "value": curve[best]}
        curves[variant] = curve
    grid = [[mix.weight, mix.temperature] for mix in mixes]
    return {"key": key, "queries": len(queries), "chosen": chosen, "mixes": grid, "curves": curves}


def _without_group(query: Query) -> Query:
    return dataclasses.replace(query, group=None)  # CIRR's image sets have lists of their own


def _named(paths: Sequence[Path]) -> Iterator[tuple[Path, str, str]]:
    """(file, variant, kind). Raises InputError for a file that is not named like a list."""
    for path in paths:
        kind = next((kind for kind in KINDS if path.name.endswith(kind)), None)
        if kind is None:
            raise InputError(f"is not named VARIANT{KINDS[0]} or VARIANT{KINDS[1]}", file=path)
        yield path, path.name.removesuffix(kind), kind


def _choices(path: Path | None) -> dict[str, Mix] | None:
    """Raises InputError for a file that --choose did not write."""
    if path is None:
        return None
    try:
        found = read_json(path)["chosen"]
        return {variant: Mix(entry["weight"], entry["temperature"]) for variant, entry in found.items()}
    except (AttributeError, KeyError, TypeError):
        problem = "is not {variant: weight, temperature}"
        raise InputError(problem, file=path, field="chosen", remedy="Make it with ipcir rerank --choose.") from None


def _mix(mixes: dict[str, Mix] | None, variant: str, settings: Combination, path: Path | None) -> Mix:
    if mixes is None:
        return Mix(settings.weight, settings.temperature)
    if variant not in mixes:
        raise InputError("is missing", file=path, record=variant, remedy="Make it with ipcir rerank --choose.")
    return mixes[variant]
