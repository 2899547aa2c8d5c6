"""Collect the failures of all steps: the first reason per query, in the order of the steps."""

import argparse
from pathlib import Path

from ipcir_steps.core import paths
from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.files import read_jsonl, write_jsonl


def collect(files: list[Path]) -> list[dict]:
    """One record {query_id, step, failure} per failed query; later steps only repeat what went wrong before."""
    first = {}
    for path in files:
        for record in read_jsonl(path):
            step = paths.fields(paths.STEP_FAILURES.removeprefix(f"{paths.SPLIT}/"), path)["step"]
            first.setdefault(record["query_id"], {"query_id": record["query_id"], "step": step, **record})
    return list(first.values())


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=InFile, nargs="+", help="STEP.failures.jsonl of each step, in order")
    parser.add_argument("--output", type=OutFile, required=True, help="failures.jsonl")


def main(args: argparse.Namespace) -> None:
    write_jsonl(args.output, collect(args.files))
