"""Scores of rankings under each benchmark's own protocol. All values are fractions.

A query whose ranking is absent or short is scored on what there is: it counts, with 0 where nothing was found.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_jsonl, write_json
from ipcir_steps.core.records import Query, read_queries

Rankings = Mapping[str, Sequence]
PerQuery = dict[str, dict[str, float]]


def average_precision(ranking: Sequence[str], relevant: Sequence[str], k: int) -> float:
    """AP@k = sum over i <= k of precision(i) * relevance(i), divided by min(number of relevant, k) (CIRCO).

    >>> average_precision(["a", "x", "b"], ["a", "b", "c"], 2)
    0.5
    """
    relevant = set(relevant)
    hits, total = 0, 0.0
    for position, name in enumerate(ranking[:k], 1):
        if name in relevant:
            hits += 1
            total += hits / position
    return total / min(len(relevant), k) if relevant else 0.0


def recall(ranking: Sequence[str], target: str, k: int) -> float:
    """1 when the target is among the first k, else 0."""
    return float(target in ranking[:k])


def circo(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """mAP@5/10/25/50 over all ground truths, recall@1/5/10/25/50 of the annotated target, mAP@10 per semantic aspect.

    rankings: {query_id: image names, best first}; the reference is left where it stands, as in the official
    evaluation. Queries without targets are refused.
    """
    return _mean(circo_queries(rankings, queries)) | _aspects(rankings, queries)


def circo_queries(rankings: Rankings, queries: Sequence[Query]) -> PerQuery:
    values: PerQuery = {}
    for query, ranking in _pairs(rankings, queries):
        values[query.query_id] = {
            **{f"mAP@{k}": average_precision(ranking, query.targets, k) for k in (5, 10, 25, 50)},
            **{f"recall@{k}": recall(ranking, query.targets[0], k) for k in (1, 5, 10, 25, 50)},
        }
    return values


def _aspects(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    precisions: dict[str, list[float]] = {}
    for query, ranking in _pairs(rankings, queries):
        for aspect in query.aspects:
            precisions.setdefault(aspect, []).append(average_precision(ranking, query.targets, 10))
    return {f"mAP@10/{aspect}": sum(values) / len(values) for aspect, values in sorted(precisions.items())}


def cirr(rankings: Rankings, queries: Sequence[Query], subset: Rankings | None = None) -> dict[str, float]:
    """recall@1/5/10/50, recall_subset@1/2/3 and their published average (recall@5 + recall_subset@1) / 2.

    The reference is removed from the ranking first. subset: {query_id: members of the image set, best first};
    by default the members are looked up in ``rankings``, which must then be long enough to hold them.
    """
    values = _mean(cirr_queries(rankings, queries, subset))
    if "recall_subset@1" in values:
        values["average"] = (values["recall@5"] + values["recall_subset@1"]) / 2
    return values


def cirr_queries(rankings: Rankings, queries: Sequence[Query], subset: Rankings | None = None) -> PerQuery:
    values: PerQuery = {}
    for query, ranking in _pairs(rankings, queries):
        ranking = [name for name in ranking if name != query.reference]
        values[query.query_id] = {f"recall@{k}": recall(ranking, query.targets[0], k) for k in (1, 5, 10, 50)}
        if query.group:
            members = set(query.group) - {query.reference}
            source = ranking if subset is None else map(str, subset.get(query.query_id, ()))
            inner = [name for name in source if name in members]
            values[query.query_id] |= {f"recall_subset@{k}": recall(inner, query.targets[0], k) for k in (1, 2, 3)}
    return values


def fashioniq(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """recall@10/50 per category ("dress/recall@10") and their plain average over the categories ("recall@10").

    The reference is left where it stands; each ranking is over the category's own gallery.
    """
    per_query = fashioniq_queries(rankings, queries)
    categories: dict[str, PerQuery] = {}
    for query in queries:
        categories.setdefault(query.category, {})[query.query_id] = per_query[query.query_id]
    means = {category: _mean(values) for category, values in sorted(categories.items(), key=lambda item: str(item[0]))}
    average = {key: sum(mean[key] for mean in means.values()) / len(means) for key in ("recall@10", "recall@50")}
    return average | {f"{category}/{key}": value for category, mean in means.items() for key, value in mean.items()}


def fashioniq_queries(rankings: Rankings, queries: Sequence[Query]) -> PerQuery:
    return {
        query.query_id: {f"recall@{k}": recall(ranking, query.targets[0], k) for k in (10, 50)}
        for query, ranking in _pairs(rankings, queries)
    }


def folder(rankings: Rankings, queries: Sequence[Query]) -> dict[str, float]:
    """For one's own data: recall@1/5/10/50 of the first target, mAP@5/10/25/50 over all targets (as CIRCO)."""
    return _mean(folder_queries(rankings, queries))


def folder_queries(rankings: Rankings, queries: Sequence[Query]) -> PerQuery:
    return {
        query.query_id: {
            **{f"recall@{k}": recall(ranking, query.targets[0], k) for k in (1, 5, 10, 50)},
            **{f"mAP@{k}": average_precision(ranking, query.targets, k) for k in (5, 10, 25, 50)},
        }
        for query, ranking in _pairs(rankings, queries)
    }


PROTOCOLS: dict[str, tuple[Callable, Callable, str]] = {
    "circo": (circo, circo_queries, "CIRCO: AP@k over all ground truths / min(#GT, k); the reference stays"),
    "cirr": (cirr, cirr_queries, "CIRR: the reference is removed; subset among the other members of the image set"),
    "fashioniq": (fashioniq, fashioniq_queries, "FashionIQ: each category on its own gallery; the reference stays"),
    "folder": (folder, folder_queries, "folder: recall of the first target, AP@k as CIRCO"),
}


def _pairs(rankings: Rankings, queries: Sequence[Query]):
    if not queries:
        raise InputError("no queries to score", field="queries")
    for query in queries:
        if not query.targets:
            remedy = "Hidden test splits are scored by the benchmark's server: use ipcir submission write."
            raise InputError("has no targets", record=query.query_id, field="targets", remedy=remedy)
        yield query, [str(name) for name in rankings.get(query.query_id, ())]


def _mean(per_query: PerQuery) -> dict[str, float]:
    sums: dict[str, list[float]] = {}
    for values in per_query.values():
        for key, value in values.items():
            sums.setdefault(key, []).append(value)
    return {key: sum(values) / len(values) for key, values in sums.items()}


def read_rankings(path: str | Path) -> dict[str, list[str]]:
    """{query_id: image names by rank} from a rankings parquet, or from a server-style JSON object of lists."""
    path = Path(path)
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): [str(name) for name in names] for key, names in content.items() if isinstance(names, list)}
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path, columns=["query_id", "rank", "image"])
    except FileNotFoundError:
        raise InputError("does not exist", file=path) from None
    except (OSError, ValueError, KeyError) as error:
        remedy = "Delete it and run again to rebuild it."
        raise InputError(f"is not a rankings file ({error})", file=path, remedy=remedy) from error
    rankings: dict[str, list[str]] = {}
    table = table.sort_by([("query_id", "ascending"), ("rank", "ascending")])
    for query_id, image in zip(table["query_id"].to_pylist(), table["image"].to_pylist(), strict=True):
        rankings.setdefault(query_id, []).append(image)
    return rankings


def score(
    rankings: Rankings, queries: Sequence[Query], protocol: str, subset: Rankings | None = None, failures=()
) -> dict:
    """The content of a metrics file: protocol, query count, metrics, failures and the values of each query.

    per_query: {metric: values in the order of "queries"}, the input of paired bootstraps.
    """
    total, each, text = PROTOCOLS[protocol]
    extra = {"subset": subset} if protocol == "cirr" else {}
    values = each(rankings, queries, **extra)
    keys = list(next(iter(values.values())))
    return {
        "protocol": protocol,
        "protocol_text": text,
        "query_count": len(queries),
        "unranked": sum(query.query_id not in rankings for query in queries),
        "failures": list(failures),
        "failure_count": len(failures),
        "metrics": total(rankings, queries, **extra),
        "queries": [query.query_id for query in queries],
        "per_query": {key: [values[query.query_id].get(key) for query in queries] for key in keys},
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rankings", required=True, type=Path, help="rankings.parquet, or a server-style JSON file")
    parser.add_argument("--subset", type=Path, help="CIRR: rankings of each image set's members (parquet or JSON)")
    parser.add_argument("--queries", required=True, type=Path, help="queries.jsonl")
    parser.add_argument("--gallery", type=Path, help="gallery.jsonl: refuse names that are not in it")
    parser.add_argument("--benchmark", required=True, choices=sorted(PROTOCOLS), help="whose rules to score by")
    parser.add_argument("--failures", type=Path, nargs="*", default=[], help="failures files of earlier steps")
    parser.add_argument("--output", required=True, type=Path, help="metrics file to write (JSON)")


def main(args: argparse.Namespace) -> None:
    rankings = read_rankings(args.rankings)
    if args.gallery:
        names = {record["name"] for record in read_jsonl(args.gallery)}
        for query_id, images in rankings.items():
            for image in images:
                if image not in names:
                    raise InputError(f"{image!r} is not in the gallery", file=args.rankings, record=query_id)
    subset = read_rankings(args.subset) if args.subset else None
    failures = [record for path in args.failures for record in read_jsonl(path)]
    write_json(args.output, score(rankings, read_queries(args.queries), args.benchmark, subset, failures))
