"""One row of a frontier for each setting, number of proxies and rule for stopping: retrieval, and what it costs."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from ipcir_steps.config.frontier import CONFIGURED, NOTHING, Comparison
from ipcir_steps.config.stopping import Bounds
from ipcir_steps.core.errors import InputError
from ipcir_steps.evaluate.frontier.search import Search
from ipcir_steps.seek.stopping.rule import REASONS, stop
from ipcir_steps.seek.stopping.search import Drawn, Lists, overlap
from ipcir_steps.variants import BASE, METHOD, NO_PROXY

Scored = dict[str, tuple[Lists, float, np.ndarray]]  # by variant: lists, the metric that decides, of each query [Q]


@dataclasses.dataclass(frozen=True)
class Reference:
    """What every row is compared with: the configured setting with all its proxies, and the lists without any."""

    drawn: Drawn
    scored: Scored
    plain: Mapping[str, Lists]  # by variant: of the text alone, and of the fusion without proxies
    no_proxy: np.ndarray  # values [Q] of the fusion without proxies


def rows(
    search: Search, drawn: Mapping[str, Drawn], costs: Mapping[str, Mapping], settings: Comparison
) -> Iterator[dict]:
    """The row of no images at all, then those of each setting.

    drawn: by setting, ``configured`` among them; costs: {setting: {"operations": of one image, None: not counted}}.
    Raises InputError where there is no configured setting.
    """
    if CONFIGURED not in drawn:
        raise InputError(f"lacks {CONFIGURED}=FILE, with which every setting is compared", field="--drawn")
    plain = {name: (lists, *search.scores(lists)) for name, lists in search.unimagined().items()}
    shared = {name: value for name, (_, value, _) in plain.items()}
    configured = drawn[CONFIGURED]
    reference = Reference(
        configured,
        _scored(search, configured, configured.units.shape[1]),
        {name: lists for name, (lists, _, _) in plain.items()},
        plain[NO_PROXY][2],
    )
    lists, value, values = plain[NO_PROXY]
    nothing = _compared(search, reference, settings, lists, values)
    yield {"name": NOTHING, "setting": NOTHING, "value": value, "metrics": shared, **nothing, **_cost(0.0, {})}
    for name, found in drawn.items():
        cost = costs.get(name, {})
        for count in sorted({*settings.counts, found.units.shape[1]}, reverse=True):
            if count <= found.units.shape[1]:
                yield _of_count(search, reference, settings, name, found, count, shared) | _cost(count, cost)
        if name in settings.stopping:
            for bounds in _bounds(settings):
                row = _of_bounds(search, reference, settings, name, found, bounds, shared)
                yield row | _cost(row["drawn"], cost)


def _scored(search: Search, found: Drawn, count: int) -> Scored:
    lists = search.imagined(found.mean(count), found.known)
    return {variant: (some, *search.scores(some)) for variant, some in lists.items()}


def _of_count(search, reference, settings, name, found, count, shared) -> dict:
    whole = count == found.units.shape[1]
    scored = reference.scored if whole and found is reference.drawn else _scored(search, found, count)
    lists, value, values = scored[METHOD]
    row = {
        "name": name if whole else f"{name}, {count} drawn",
        "setting": name,
        "value": value,
        "metrics": shared | {variant: total for variant, (_, total, _) in scored.items()},
        **_compared(search, reference, settings, lists, values),
    }
    row["differences"] = {
        variant: search.difference(reference.scored[variant][2], each) for variant, (_, _, each) in scored.items()
    }
    return row | {"cosine": cosine(reference.drawn, found, count)}


def _bounds(settings: Comparison) -> Iterator[Bounds]:
    for certain, settled in itertools.product((None, *settings.certain), (None, *settings.settled)):
        if certain is not None or settled is not None:
            yield Bounds(settled=settled, certain=certain, top=settings.top)


def _of_bounds(search, reference, settings, name, found, bounds, shared) -> dict:
    stopped = stop(search, found, bounds, reference.plain[BASE])
    value, values = search.scores(stopped.lists)
    ids = [query.query_id for query in search.inputs.queries]
    return {
        "name": f"{name}, {bounds.label}",
        "setting": name,
        "value": value,
        "metrics": shared | {METHOD: value},
        **_compared(search, reference, settings, stopped.lists, values),
        "bounds": bounds.model_dump(include={"settled", "certain"}),
        "drawn": stopped.counts.double().mean().item(),
        "reasons": {text: stopped.reasons.count(number) for number, text in enumerate(REASONS)},
        "per_query": {
            "queries": ids,
            "drawn": stopped.counts.tolist(),
            "reason": [REASONS[number] for number in stopped.reasons],
        },
    }


def _compared(search, reference: Reference, settings, lists: Lists, values: np.ndarray) -> dict:
    lists_there, _, values_there = reference.scored[METHOD]
    same = overlap(lists, lists_there, settings.top).values()
    return {
        "difference": search.difference(values_there, values),
        "gain": search.difference(reference.no_proxy, values),
        "overlap": sum(same) / max(1, len(same)),
    }


def _cost(count: float, cost: Mapping) -> dict:
    """count: proxies of a query, on average."""
    each = cost.get("operations") if count else 0.0
    return {"drawn": count, "operations": None if each is None else each * count}


def cosine(reference: Drawn, found: Drawn, count: int) -> float | None:
    """Mean cosine of f_p to that of all proxies of the reference, over the queries that have both; None without any."""
    import torch.nn.functional

    both = reference.known & found.known
    if not both.any():
        return None
    sides = reference.mean(reference.units.shape[1])[both], found.mean(count)[both]
    return torch.nn.functional.cosine_similarity(*sides).mean().item()


def chosen(found: list[dict], tolerance: float | None) -> dict[str, str | None]:
    """The cheapest row that is not worse than the configured setting: of all, and of those that draw something.

    Not worse: the interval of the difference reaches 0, or with a tolerance lies above -tolerance. Rows whose
    operations are not counted, and those of rules for stopping, which no command follows, are not chosen.
    """

    def good(row: dict) -> bool:
        change = row["difference"]
        return change["high"] >= 0 if tolerance is None else change["low"] >= -tolerance

    able = [row for row in found if row["operations"] is not None and "bounds" not in row and good(row)]
    able.sort(key=lambda row: (row["operations"], -row["value"]))
    imagined = [row["name"] for row in able if row["drawn"]]
    return {"any": able[0]["name"] if able else None, "imagined": imagined[0] if imagined else None}
