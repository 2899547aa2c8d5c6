"""Scores of rankings under each benchmark's own protocol. All values are fractions.

A query whose ranking is absent or short is scored on what there is: it counts, with 0 where nothing was found.
"""

import argparse
from collections.abc import Mapping, Sequence

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.core.arguments import InFile, OutFile, RoleFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_jsonl, write_json
from ipcir_steps.core.marks import add_mark, marked
from ipcir_steps.core.rankings import about_rankings, read_rankings
from ipcir_steps.core.records import Query, read_queries
from ipcir_steps.core.scores import Rankings
from ipcir_steps.evaluate.paraphrases import spread_over
from ipcir_steps.evaluate.subsets import chosen, read_ids


def circo(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """mAP@5/10/25/50, recall@1/5/10/25/50 and mAP@10 per semantic aspect: ``ipcir_steps.benchmarks.circo.total``."""
    return BENCHMARKS["circo"].total(rankings, queries)


def cirr(rankings: Rankings, queries: Sequence[Query], subset: Rankings | None = None) -> dict[str, float]:
    """recall@1/5/10/50, recall_subset@1/2/3 and their average: ``ipcir_steps.benchmarks.cirr.total``."""
    return BENCHMARKS["cirr"].total(rankings, queries, subset)


def fashioniq(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """recall@10/50 per category and their average: ``ipcir_steps.benchmarks.fashioniq.total``."""
    return BENCHMARKS["fashioniq"].total(rankings, queries)


def score(
    rankings: Rankings, queries: Sequence[Query], benchmark: str, subset: Rankings | None = None, failures=(),
    subsets: Mapping[str, Sequence[Query]] | None = None,
) -> dict:  # fmt: skip
    """The content of a metrics file: protocol, query count, metrics, failures and the values of each query.

    per_query: {metric: values in the order of "queries"}, the input of paired bootstraps. subsets: queries that are
    also scored by themselves, by name. paraphrases: the spread over the wordings of a request, where there are any.
    """
    card = BENCHMARKS[benchmark]
    extra = {"subset": subset} if card.image_sets else {}
    values = card.per_query(rankings, queries, **extra)
    keys = list(next(iter(values.values())))
    parts = {
        name: {"queries": [query.query_id for query in some], "metrics": card.total(rankings, some, **extra)}
        for name, some in (subsets or {}).items()
    }
    return {
        "protocol": benchmark,
        "protocol_text": card.rules,
        "query_count": len(queries),
        "unranked": sum(query.query_id not in rankings for query in queries),
        "failures": list(failures),
        "failure_count": len(failures),
        "metrics": card.total(rankings, queries, **extra),
        "queries": [query.query_id for query in queries],
        "per_query": {key: [values[query.query_id].get(key) for query in queries] for key in keys},
        **({"subsets": parts} if parts else {}),
        **spread_over(queries, values),
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rankings", required=True, type=InFile, help="rankings.parquet, or a server-style JSON file")
    parser.add_argument("--subset", type=InFile, help="CIRR: rankings of each image set's members (parquet or JSON)")
    parser.add_argument("--queries", required=True, type=InFile, help="queries.jsonl")
    parser.add_argument("--gallery", type=InFile, help="gallery.jsonl: refuse names that are not in it")
    parser.add_argument(
        "--benchmark", required=True, choices=sorted(BENCHMARKS), help="benchmark by whose rules to score"
    )
    parser.add_argument("--failures", type=InFile, nargs="*", default=[], help="failures files of earlier steps")
    help_text = "files of query ids that are also scored by themselves"
    parser.add_argument("--subsets", type=RoleFile.parse, nargs="*", default=[], metavar="NAME=FILE", help=help_text)
    add_mark(parser)
    parser.add_argument("--output", required=True, type=OutFile, help="metrics file to write (JSON)")


def main(args: argparse.Namespace) -> None:
    rankings = read_rankings(args.rankings)
    if args.gallery:
        names = {record["name"] for record in read_jsonl(args.gallery)}
        for query_id, images in rankings.items():
            for image in images:
                if image is not None and image not in names:
                    raise InputError(f"{image!r} is not in the gallery", file=args.rankings, record=query_id)
    subset = read_rankings(args.subset) if args.subset else None
    failures = [record for path in args.failures for record in read_jsonl(path)]
    queries = read_queries(args.queries)
    subsets = {file.role: chosen(queries, read_ids(file), file) for file in args.subsets}
    scored = score(rankings, queries, args.benchmark, subset, failures, subsets)
    if told := about_rankings(args.rankings).get("verification"):
        scored["verification"] = told
    write_json(args.output, marked(scored, args.mark))
