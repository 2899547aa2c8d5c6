"""Lists as prediction files of MTEB (https://github.com/embeddings-benchmark/mteb): ``{task}_predictions.json``.

Nothing of the package ``mteb`` is needed to write them. Its tasks CIRRIT2IRetrieval and FashionIQIT2IRetrieval have
other queries, galleries and metrics than CIRR and FashionIQ: their numbers never stand beside those of the benchmarks.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, sha256, write_text
from ipcir_steps.core.marks import marks_of
from ipcir_steps.core.rankings import about_rankings, read_scores
from ipcir_steps.core.records import Query, read_queries

CAUTION = (
    "MTEB scores by its own rules. Its CIRRIT2IRetrieval (4,170 queries, 21,551 images) and FashionIQIT2IRetrieval"
    " (6,003 queries, 74,381 images) report nDCG@10 and take no reference out: never set these numbers"
    " beside those of CIRR or FashionIQ."
)
Names = Mapping[str, str] | None


def predictions(
    lists: Mapping[str, Sequence[tuple[str, float]]], queries: Sequence[Query], query_ids: Names, image_ids: Names
) -> dict[str, dict[str, float]]:
    """{query: {image: score}} under MTEB's ids, every query of ``queries`` in their order; without a list an empty one.

    lists: {query id: [(image, score)], best first}; query_ids, image_ids: MTEB's by ours, None where they are the same.
    Scores fall strictly, also in float32, so that the order is ours however ties are broken. Raises InputError for an
    id that has no other, and where two images become one.
    """
    found = {}
    for query in queries:
        name = _named(query.query_id, query_ids, "queries")
        ranked = [(_named(image, image_ids, "images"), score) for image, score in lists.get(query.query_id, ())]
        scores = falling([score for _, score in ranked])
        found[name] = dict(zip((image for image, _ in ranked), scores, strict=True))
        if len(found[name]) < len(ranked):
            raise InputError("two images of its list have one id", file="--ids", record=query.query_id, field="images")
    if len(found) < len(queries):
        raise InputError("two queries have one id", file="--ids", field="queries")
    return found


def falling(scores: Sequence[float]) -> list[float]:
    """The scores in float32, one that is not below the one before lowered as little as possible.

    >>> falling([0.5, 0.5, 0.25]) == [0.5, 0.4999999701976776, 0.25]
    True
    """
    lowered, last = [], np.float32(np.inf)
    for score in scores:
        last = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
        lowered.append(float(last))
    return lowered


def _named(name: str, known: Names, field: str) -> str:
    if known is None:
        return name
    if name not in known:
        remedy = "Give MTEB's id of each query and of each image that is listed."
        raise InputError("has no id of MTEB", file="--ids", record=name, field=field, remedy=remedy)
    return known[name]


def read_ids(path) -> tuple[Names, Names]:
    """(queries, images) of ``{"queries": {ours: MTEB's}, "images": {…}}``; None for a part that is not there."""
    content = read_json(path)
    for field, known in content.items() if isinstance(content, dict) else [("", content)]:
        texts = isinstance(known, dict) and all(isinstance(name, str) for name in known.values())
        if field not in ("queries", "images") or not texts:
            remedy = 'Write {"queries": {"our id": "MTEB\'s id"}, "images": {…}}.'
            raise InputError("is no table of ids", file=path, field=field or None, remedy=remedy)
    return content.get("queries"), content.get("images")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rankings", required=True, type=InFile, help="rankings.parquet, or a server file of lists")
    parser.add_argument("--queries", required=True, type=InFile, help="queries.jsonl")
    parser.add_argument("--name", required=True, help="what made the lists, such as ipcir/ViT-L-14-ldre-rp_bm")
    parser.add_argument("--split", default="test", help="MTEB's split of the task")
    parser.add_argument("--subset", default="default", help="MTEB's subset of the task")
    parser.add_argument(
        "--ids", type=InFile, help='JSON file {"queries": {ours: MTEB\'s}, "images": {…}}; by default they are the same'
    )
    parser.add_argument("--output", required=True, type=OutFile, help="file to write: TASK_predictions.json")


def main(args: argparse.Namespace) -> None:
    query_ids, image_ids = read_ids(args.ids) if args.ids else (None, None)
    if not args.output.name.endswith("_predictions.json"):
        remedy = "Call it like MTEB does: CIRRIT2IRetrieval_predictions.json."
        raise InputError("MTEB would not find it", file=args.output, field="--output", remedy=remedy)
    found = predictions(read_scores(args.rankings), read_queries(args.queries), query_ids, image_ids)
    caution = "; ".join(filter(None, (marks_of([about_rankings(args.rankings)]), CAUTION)))
    about = {"model_name": args.name, "revision": sha256(args.rankings), "caution": caution}
    write_text(args.output, json.dumps({"mteb_model_meta": about, args.subset: {args.split: found}}) + "\n")
    print(caution, file=sys.stderr)
