"""``ipcir stopping``: proxies drawn one after another, and no more where one more would hardly change a query's list.

``next`` says before each round which queries get another image; ``join`` makes one index of the rounds.
"""

import argparse

from ipcir_steps.config.base import Count
from ipcir_steps.config.retrieval import Fusion, Ranking
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.config.stopping import Bounds
from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.seek.ranking import inputs
from ipcir_steps.seek.ranking.command import add_lambda, lambdas_of
from ipcir_steps.variants import BASE, METHOD


class Settings(Bounds):
    """The bounds, the number of proxies that is never exceeded, fusion and ranking as they are configured."""

    count: Count = 5
    fusion: Fusion = Fusion()
    ranking: Ranking = Ranking()


def arguments(parser: argparse.ArgumentParser) -> None:
    from ipcir_steps.seek.stopping.search import SHARED

    kinds = parser.add_subparsers(dest="kind", metavar="next|join", required=True)
    following = kinds.add_parser("next", help="which queries get another image")
    inputs.add_arguments(following)
    for name in SHARED:
        following.add_argument(f"--{name.replace('_', '-')}", required=True, type=InFile, help=f"features of {name}")
    help_text = "proxy features [queries of the round, 1, D] of each round so far, in order"
    following.add_argument("--rounds", nargs="*", default=[], type=InFile, metavar="FILE", help=help_text)
    following.add_argument("--before", type=InFile, help="the state that the last of them was drawn by")
    add_lambda(following)
    following.add_argument("--output", required=True, type=OutFile, help="state: images and reason of every query")
    following.add_argument("--open", required=True, type=OutFile, help="queries.jsonl of those that get another image")
    add_settings(following, Settings)
    joining = kinds.add_parser("join", help="one index, and why drawing stopped")
    joining.add_argument("--queries", required=True, type=InFile, help="queries.jsonl: the order of the output")
    joining.add_argument("--before", required=True, type=InFile, help="the state that the last round was drawn by")
    joining.add_argument("--rounds", required=True, nargs="+", type=InFile, help="the index of each round, in order")
    joining.add_argument("--failed", nargs="*", default=[], type=InFile, help="the failures of each round")
    joining.add_argument("--output", required=True, type=OutFile, help="index (JSON lines)")
    joining.add_argument("--failures", required=True, type=OutFile, help="failures (JSON lines)")
    joining.add_argument("--report", required=True, type=OutFile, help="images and reason of every query (JSON lines)")


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.core.files import read_jsonl, write_jsonl
    from ipcir_steps.core.records import read_queries, write_records
    from ipcir_steps.seek.stopping import rounds

    queries = read_queries(args.queries)
    if args.kind == "join":
        failed = [record for path in args.failed for record in read_jsonl(path)]
        joined = rounds.join(queries, read_jsonl(args.before), list(map(read_jsonl, args.rounds)), failed)
        for path, records in zip((args.output, args.failures, args.report), joined, strict=True):
            write_jsonl(path, records)
        return
    settings = read_settings(args.settings, Settings)
    lams = lambdas_of([BASE, METHOD], args)
    found = rounds.decide(args, settings, lams)
    state = [found.get(query.query_id) or rounds.entry(query.query_id) for query in queries]
    write_jsonl(args.output, state)
    write_records(args.open, [q for q, entry in zip(queries, state, strict=True) if entry["reason"] is None])
