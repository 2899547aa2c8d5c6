"""What every benchmark's scores are made of: rankings beside their queries, recall, average precision, means."""

from collections.abc import Iterator, Mapping, Sequence

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query

Rankings = Mapping[str, Sequence]  # {query id: image names, best first; None at a place that was not recorded}
PerQuery = dict[str, dict[str, float]]  # {query id: {metric: fraction}}


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


def pairs(rankings: Rankings, queries: Sequence[Query]) -> Iterator[tuple[Query, list[str]]]:
    """Each query with its list of image names; a query without a ranking has an empty one.

    Raises InputError where there are no queries, where a query has no targets, and where a list names an image twice.
    """
    if not queries:
        raise InputError("no queries to score", field="queries")
    for query in queries:
        if not query.targets:
            remedy = "Hidden test splits are scored by the benchmark's server: use ipcir submission write."
            raise InputError("has no targets", record=query.query_id, field="targets", remedy=remedy)
        yield query, names_of(rankings, query)


def names_of(rankings: Rankings, query: Query) -> list[str]:
    """The names in a query's list, none where it has no list. Raises InputError where one stands in it twice."""
    names = [name if name is None else str(name) for name in rankings.get(query.query_id, ())]
    known = [name for name in names if name is not None]
    if len(set(known)) < len(known):
        twice = next(name for number, name in enumerate(known) if name in known[:number])
        remedy = "List every image once: each further time would count as another hit."
        raise InputError(f"lists {twice} twice", record=query.query_id, field="ranking", remedy=remedy)
    return names


def mean(per_query: PerQuery) -> dict[str, float]:
    """{metric: mean over the queries that have it}."""
    sums: dict[str, list[float]] = {}
    for values in per_query.values():
        for key, value in values.items():
            sums.setdefault(key, []).append(value)
    return {key: sum(values) / len(values) for key, values in sums.items()}


def by_category(per_query: PerQuery, queries: Sequence[Query]) -> dict[str, float]:
    """Means within each category ("dress/recall@10"), after their plain average over the categories ("recall@10")."""
    categories: dict[str, PerQuery] = {}
    for query in queries:
        categories.setdefault(query.category, {})[query.query_id] = per_query[query.query_id]
    means = {name: mean(members) for name, members in sorted(categories.items(), key=lambda item: str(item[0]))}
    average = {key: sum(found[key] for found in means.values()) / len(means) for key in next(iter(means.values()))}
    return average | {f"{name}/{key}": value for name, found in means.items() for key, value in found.items()}
