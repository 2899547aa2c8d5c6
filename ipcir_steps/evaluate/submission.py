"""Files for the benchmark servers: written from rankings, and checked offline by the servers' rules.

CIRR (https://cirr.cecs.anu.edu.au): two files, ``{"version": "rc2", "metric": "recall", pair id: [50 names]}`` and the
same with "recall_subset" and the best 3 of the image set; the reference is not listed. CIRCO
(https://circo.micc.unifi.it): ``{query id: [50 image ids]}``. A benchmark declares its files in its card.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.benchmarks.server import kind_of
from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_text
from ipcir_steps.core.rankings import read_rankings
from ipcir_steps.core.records import Query, read_images, read_queries

SERVED = sorted(name for name, benchmark in BENCHMARKS.items() if benchmark.server_files)


def check(
    path: str | Path,
    queries: Sequence[Query] | None = None,
    gallery: Iterable[str] | None = None,
    benchmark: str | None = None,
) -> str:
    """Validate one file; return a line that says what it is. Raises InputError telling the first problem.

    benchmark: whose file it is; by default the file's own head tells, as CIRR's "version" and "metric" do, and a file
    without one is CIRCO's. With ``queries`` the ids, the references and the image sets are checked too, with
    ``gallery`` the image names.
    """
    content = _read(path)
    if not content:
        raise InputError("is empty", file=path)
    owners = {id(one): name for name in SERVED for one in BENCHMARKS[name].server_files}
    files = [one for name in SERVED for one in BENCHMARKS[name].server_files if benchmark in (None, name)]
    kind = kind_of(content, files, path)
    said = kind.check(content, path, queries, None if gallery is None else set(gallery))
    return f"{path}: a valid {owners[id(kind)].upper()} {said}"


def _read(path: str | Path) -> dict:
    def pairs(items):
        content = {}
        for key, value in items:
            if key in content:
                raise InputError("appears twice", file=path, record=key, remedy="Servers keep only the last one.")
            content[key] = value
        return content

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"), object_pairs_hook=pairs)
    except FileNotFoundError:
        raise InputError("does not exist", file=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text ({error})", file=path) from error
    except json.JSONDecodeError as error:
        raise InputError(f"is not valid JSON ({error})", file=path) from error
    if not isinstance(content, dict):
        raise InputError(f"is a JSON {type(content).__name__}, not an object of query ids", file=path)
    return content


def write(args: argparse.Namespace, queries: Sequence[Query]) -> list[Path]:
    """Write a benchmark's files; those of image sets only where there is a place for them."""
    rankings, written = read_rankings(args.rankings), []
    for file in BENCHMARKS[args.benchmark].server_files:
        path, lists = args.output, rankings
        if file.image_sets:
            path = args.subset_output
            lists = read_rankings(args.subset) if args.subset else rankings
        if path:
            write_text(path, json.dumps(file.content(lists, queries)) + "\n")
            written.append(path)
    return written


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="write|check", required=True)
    write = actions.add_parser("write", help="write server files from rankings")
    write.add_argument("--benchmark", required=True, choices=SERVED, help="whose server the file is for")
    write.add_argument("--rankings", required=True, type=InFile, help="rankings.parquet")
    write.add_argument("--subset", type=InFile, help="CIRR: rankings of each image set's members")
    write.add_argument("--queries", required=True, type=InFile, help="queries.jsonl")
    write.add_argument("--gallery", required=True, type=InFile, help="gallery.jsonl")
    write.add_argument("--output", required=True, type=OutFile, help="file to write")
    write.add_argument("--subset-output", type=OutFile, help="CIRR: the recall_subset file to write")
    verify = actions.add_parser("check", help="validate files by the servers' rules")
    verify.add_argument("files", nargs="+", type=InFile, help="files to check")
    verify.add_argument("--benchmark", choices=SERVED, help="whose files; default: what each file says")
    verify.add_argument("--queries", type=InFile, help="queries.jsonl of the split, for a complete check")
    verify.add_argument("--gallery", type=InFile, help="gallery.jsonl, to check image names")


def main(args: argparse.Namespace) -> None:
    queries = read_queries(args.queries) if args.queries else None
    gallery = [image.name for image in read_images(args.gallery)] if args.gallery else None
    for path in write(args, queries) if args.action == "write" else args.files:
        print(check(path, queries, gallery, args.benchmark))
