"""How much a result depends on the wording: the same request in several words, each a query of its own."""

from collections.abc import Mapping, Sequence

from ipcir_steps.core.records import Query


def cluster_of(query: Query) -> tuple[str, str]:
    """What a query is resampled with: the other wordings of its request; without a request nothing but itself."""
    return ("query", query.query_id) if query.request is None else ("request", query.request)


def spread_over(queries: Sequence[Query], per_query: Mapping[str, Mapping[str, float]]) -> dict:
    """{"paraphrases": {"requests": number, "metrics": {metric: {"spread", "worst", "best"}}}}; nothing where no request
    has two wordings.

    queries: those that name the same ``request`` are wordings of it. per_query: {query id: {metric: fraction}}. Of each
    request with two wordings or more the least and the highest value are taken; worst and best are their means over
    the requests, spread is the mean of their difference. A metric that one of its wordings lacks leaves a request out.
    """
    requests: dict[str, list[str]] = {}
    for query in queries:
        if query.request is not None:
            requests.setdefault(query.request, []).append(query.query_id)
    groups = [[per_query[query_id] for query_id in ids] for ids in requests.values() if len(ids) > 1]
    if not groups:
        return {}
    told = {}
    for metric in groups[0][0]:
        known = [[values[metric] for values in group] for group in groups if all(metric in values for values in group)]
        worst, best = (sum(map(of, known)) / len(known) for of in (min, max))
        told[metric] = {"spread": best - worst, "worst": worst, "best": best}
    return {"paraphrases": {"requests": len(groups), "metrics": told}}
