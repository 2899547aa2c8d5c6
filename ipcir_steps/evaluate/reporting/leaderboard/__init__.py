"""A page of the literature's results, each with its protocol and source, beside those of one's own runs; and a CSV.

The page opens from a file, needs no server and asks for nothing outside itself.
"""

import argparse

from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.files import read_json, write_text


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=InFile, nargs="*", default=[], help="result files of your own runs")
    parser.add_argument(
        "--literature",
        type=InFile,
        nargs="*",
        default=[],
        help="more published results (columns as in published.csv)",
    )
    parser.add_argument("--html", type=OutFile, required=True, help="page to write")
    parser.add_argument("--csv", type=OutFile, required=True, help="CSV file to write, one line per value")


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.core.marks import marks_of
    from ipcir_steps.evaluate.literature import read_reported
    from ipcir_steps.evaluate.reporting.leaderboard import page, rows

    results = [read_json(path) for path in args.results]
    found = rows.parts(read_reported(*args.literature), results)
    write_text(args.html, page.html(found, marks_of(results)))
    write_text(args.csv, page.csv(found))
