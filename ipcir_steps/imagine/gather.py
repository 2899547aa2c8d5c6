"""Join the shards of a step in query order; successes and failures go to two files."""

import argparse

from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_jsonl, write_jsonl
from ipcir_steps.core.records import Query, read_queries


def gather(queries: list[Query], records: list[dict], key: str = "query_id") -> tuple[list[dict], list[dict]]:
    """(successes, failures), each one record per query in query order.

    ``key="reference"`` spreads records made once per reference image over the queries that use it.
    Raises InputError for a query without a record.
    """
    found = {record[key]: record for record in records}
    done, failed = [], []
    for query in queries:
        name = getattr(query, key)
        if name not in found:
            raise InputError(f"no shard has a record for {key} {name!r}", record=query.query_id)
        values = {k: v for k, v in found[name].items() if k != key}
        (failed if "failure" in values else done).append({"query_id": query.query_id, **values})
    return done, failed


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=InFile, required=True, help="queries.jsonl: the order of the output")
    parser.add_argument("--shards", type=InFile, nargs="+", required=True, help="the step's shard files")
    parser.add_argument(
        "--key", choices=["query_id", "reference"], default="query_id", help="field that names what a record is for"
    )
    parser.add_argument("--output", type=OutFile, required=True, help="successes (JSON lines)")
    parser.add_argument("--failures", type=OutFile, required=True, help="failures (JSON lines)")


def main(args: argparse.Namespace) -> None:
    records = [record for path in args.shards for record in read_jsonl(path)]
    done, failed = gather(read_queries(args.queries), records, args.key)
    write_jsonl(args.output, done)
    write_jsonl(args.failures, failed)
