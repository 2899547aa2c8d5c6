"""Files for the benchmark servers: written from rankings, and checked offline by the servers' rules.

CIRR (https://cirr.cecs.anu.edu.au): two files, ``{"version": "rc2", "metric": "recall", pair id: [50 names]}`` and the
same with "recall_subset" and the best 3 of the image set; the reference is not listed. CIRCO
(https://circo.micc.unifi.it): ``{query id: [50 image ids]}``.
"""

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_text
from ipcir_steps.core.records import Query, read_images, read_queries
from ipcir_steps.evaluate.metrics import read_rankings

LENGTH = {"circo": 50, "recall": 50, "recall_subset": 3}
# Queries of the published splits, for checks without --queries.
QUERY_COUNTS = {"circo": {220: "val", 800: "test"}, "cirr": {4148: "test1", 4181: "val"}}
CIRR_NAME = re.compile(r"(train|dev|test1)-\d+-\d+-img\d+")


def circo_file(rankings: Mapping[str, Sequence[str]], queries: Sequence[Query]) -> dict:
    """{query id: the first 50 image ids, as integers}. Raises InputError for a query without a ranking."""
    return {
        query.query_id: [int(name) if name.isdigit() else name for name in _of(rankings, query)[: LENGTH["circo"]]]
        for query in queries
    }


def cirr_file(rankings: Mapping[str, Sequence[str]], queries: Sequence[Query], metric: str) -> dict:
    """The "recall" or the "recall_subset" file; the reference is left out. rankings must hold every set member."""
    content: dict = {"version": "rc2", "metric": metric}
    for query in queries:
        names = [name for name in _of(rankings, query) if name != query.reference]
        if metric == "recall_subset":
            members = set(query.group or ())
            names = [name for name in names if name in members]
            if len(names) < min(LENGTH[metric], len(members)):
                raise InputError(
                    f"the ranking holds {len(names)} members of the image set, 3 are needed",
                    record=query.query_id,
                    remedy="Give rankings of the image sets with --subset.",
                )
        content[query.query_id] = names[: LENGTH[metric]]
    return content


def _of(rankings, query: Query) -> list[str]:
    if query.query_id not in rankings:
        remedy = "The servers refuse incomplete files: rank every query."
        raise InputError("has no ranking", record=query.query_id, remedy=remedy)
    return [str(name) for name in rankings[query.query_id]]


def check(path: str | Path, queries: Sequence[Query] | None = None, gallery: Iterable[str] | None = None) -> str:
    """Validate one file; return a line that says what it is. Raises InputError telling the first problem.

    CIRR files are known by their "version" or "metric" key, anything else is CIRCO. With ``queries`` the ids, the
    references and the image sets are checked too, with ``gallery`` the image names.
    """
    content = _read(path)
    if not content:
        raise InputError("is empty", file=path)
    cirr = "version" in content or "metric" in content
    metric = _header(content, path) if cirr else "circo"
    answers = {key: value for key, value in content.items() if key not in ("version", "metric")}
    benchmark = "cirr" if cirr else "circo"
    names = None if gallery is None else set(gallery)
    for query_id, images in answers.items():
        _check_answer(query_id, images, metric, names, path)
    if cirr:
        _one_split(answers, path)
    _check_queries(answers, queries, benchmark, path)
    if queries is not None and cirr:
        _check_sets(answers, queries, metric, path)
    length = len(next(iter(answers.values())))
    return f"{path}: a valid {benchmark.upper()} {metric} file: {len(answers)} queries, {length} images each"


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


def _header(content: dict, path) -> str:
    """The metric of a CIRR file."""
    if "version" not in content:
        raise InputError("is missing", file=path, field="version", remedy='Add "version": "rc2".')
    if content["version"] != "rc2":
        raise InputError(f"is {content['version']!r}; the server takes 'rc2'", file=path, field="version")
    if "metric" not in content:
        raise InputError("is missing", file=path, field="metric", remedy='Add "metric": "recall" or "recall_subset".')
    if content["metric"] not in ("recall", "recall_subset"):
        raise InputError(
            f"is {content['metric']!r}; the server takes 'recall' or 'recall_subset'", file=path, field="metric"
        )
    return content["metric"]


def _check_answer(query_id: str, images, metric: str, gallery: set[str] | None, path) -> None:
    where = {"file": path, "record": query_id}
    if not query_id.isdecimal() or str(int(query_id)) != query_id:
        raise InputError("is not a query id (a plain number)", **where)
    if not isinstance(images, list):
        raise InputError(f"holds a {type(images).__name__}, not a list of images", **where)
    expected = LENGTH[metric]
    if gallery is not None:  # a small data set cannot fill the list; CIRR's reference takes one place
        expected = min(expected, len(gallery) - (metric != "circo"))
    if len(images) < expected:
        raise InputError(f"lists too few images ({len(images)}, needs {expected})", **where)
    if len(images) > expected:
        raise InputError(f"lists too many images ({len(images)}, takes {expected})", **where)
    seen = set()
    for image in images:
        _check_name(image, metric, where)
        name = str(image)
        if name in seen:
            raise InputError(f"lists {name} twice", **where)
        if gallery is not None and name not in gallery:
            raise InputError(f"lists {name}, which is not in the gallery", **where)
        seen.add(name)


def _check_name(image, metric: str, where: dict) -> None:
    if isinstance(image, bool) or not isinstance(image, str | int):
        raise InputError(f"lists a {type(image).__name__} in place of an image name", **where)
    name = str(image)
    if not name:
        raise InputError("lists an empty image name", **where)
    if "/" in name or name.lower().endswith((".jpg", ".jpeg", ".png")):
        raise InputError(f"lists the file {name!r} in place of an image name", **where)
    if metric == "circo" and not name.isdecimal():
        raise InputError(f"lists {name!r}, which is not a COCO image id", **where)
    if metric == "circo" and name != str(int(name)):
        raise InputError(f"lists {name!r}: image ids have no leading zeros", **where)
    if metric != "circo" and isinstance(image, int):
        raise InputError(f"lists the number {image} in place of an image name", **where)


def _one_split(answers: dict, path) -> None:
    """The names of a CIRR file come from one split (names of other data sets are left alone)."""
    splits: dict[str, str] = {}
    for query_id, images in answers.items():
        for name in images:
            if found := CIRR_NAME.fullmatch(name):
                splits.setdefault(found[1], query_id)
    if len(splits) > 1:
        mixed = " and ".join(sorted(splits))
        raise InputError(f"mixes images of the splits {mixed}", file=path, record=list(splits.values())[-1])


def _check_queries(answers: dict, queries: Sequence[Query] | None, benchmark: str, path) -> None:
    if queries is None:
        if len(answers) not in QUERY_COUNTS[benchmark]:
            counts = " or ".join(f"{count} ({split})" for count, split in QUERY_COUNTS[benchmark].items())
            remedy = "Give --queries for another split."
            raise InputError(f"answers {len(answers)} queries; the splits have {counts}", file=path, remedy=remedy)
        return
    known = {query.query_id for query in queries}
    for query_id in answers:
        if query_id not in known:
            raise InputError("is not a query of this split", file=path, record=query_id)
    absent = [query.query_id for query in queries if query.query_id not in answers]
    if absent:
        raise InputError(f"{len(absent)} queries are not answered, the first is {absent[0]}", file=path)


def _check_sets(answers: dict, queries: Sequence[Query], metric: str, path) -> None:
    for query in queries:
        if query.reference in answers[query.query_id]:
            raise InputError(
                f"lists the query's own reference {query.reference}",
                file=path, record=query.query_id, remedy="Remove references before writing.",
            )  # fmt: skip
        if metric == "recall_subset" and query.group:
            for name in answers[query.query_id]:
                if name not in query.group:
                    raise InputError(
                        f"lists {name}, which is not in the query's image set", file=path, record=query.query_id
                    )


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="write|check", required=True)
    write = actions.add_parser("write", help="write server files from rankings")
    write.add_argument("--benchmark", required=True, choices=["cirr", "circo"])
    write.add_argument("--rankings", required=True, type=Path, help="rankings.parquet")
    write.add_argument("--subset", type=Path, help="CIRR: rankings of each image set's members")
    write.add_argument("--queries", required=True, type=Path, help="queries.jsonl")
    write.add_argument("--gallery", required=True, type=Path, help="gallery.jsonl")
    write.add_argument("--output", required=True, type=Path, help="file to write")
    write.add_argument("--subset-output", type=Path, help="CIRR: the recall_subset file to write")
    verify = actions.add_parser("check", help="validate files by the servers' rules")
    verify.add_argument("files", nargs="+", type=Path)
    verify.add_argument("--queries", type=Path, help="queries.jsonl of the split, for a complete check")
    verify.add_argument("--gallery", type=Path, help="gallery.jsonl, to check image names")


def main(args: argparse.Namespace) -> None:
    queries = read_queries(args.queries) if args.queries else None
    gallery = [image.name for image in read_images(args.gallery)] if args.gallery else None
    if args.action == "write":
        rankings = read_rankings(args.rankings)
        if args.benchmark == "circo":
            files = {args.output: circo_file(rankings, queries)}
        else:
            files = {args.output: cirr_file(rankings, queries, "recall")}
            if args.subset_output:
                inner = read_rankings(args.subset) if args.subset else rankings
                files[args.subset_output] = cirr_file(inner, queries, "recall_subset")
        for path, content in files.items():
            write_text(path, json.dumps(content) + "\n")
    for path in files if args.action == "write" else args.files:
        print(check(path, queries, gallery))
