"""How many proxies each query would have got, had drawing stopped as soon as another one changed little.

Worked out from proxies that are all there: the first n of N proxies are those that a run with n draws, up to rounding
in a batch of another size.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ipcir_steps.evaluate.frontier.search import Drawn, Lists, Search, overlap
from ipcir_steps.variants import BASE, METHOD, NO_PROXY

if TYPE_CHECKING:
    import torch

REASONS = ("the text is certain", "its list has settled", "all were drawn", "none could be drawn")
CERTAIN, SETTLED, ALL, FAILED = range(4)


@dataclasses.dataclass(frozen=True)
class Bounds:
    """settled: share of the first images that are the same with and without the last proxy, from which no further one
    is drawn; certain: cosine by which the text's first image leads its second, from which none is drawn at all. None:
    no such bound."""

    settled: float | None = None
    certain: float | None = None

    @property
    def label(self) -> str:
        parts = [f"settled {self.settled:g}"] if self.settled is not None else []
        return ", ".join(parts + ([f"certain {self.certain:g}"] if self.certain is not None else []))


@dataclasses.dataclass(frozen=True)
class Stopped:
    """counts: int64 [Q], proxies that each query got; reasons: index into ``REASONS`` of each; lists: the method's."""

    counts: "torch.Tensor"
    reasons: list[int]
    lists: Lists


def stop(search: Search, drawn: Drawn, bounds: Bounds, plain: Mapping[str, Lists], top: int) -> Stopped:
    """Round after round, every query that has not stopped gets one more proxy; all are fused and ranked anew.

    The dataset's maximum of eq. 1 is taken over the proxies that there are in each round, as a run by rounds has them.
    plain: the lists by the text alone (``base``), and of the fusion without proxies (``no_proxy``), which is that of a
    query for which nothing is drawn. top: how many first images are compared.
    """
    import torch

    queries, most = search.inputs.queries, drawn.units.shape[1]
    reasons = [ALL if known else FAILED for known in (drawn.known & search.known).tolist()]
    if bounds.certain is not None:
        leads = lead(search, plain[BASE])
        for row, query in enumerate(queries):
            if leads.get(query.query_id, 0.0) >= bounds.certain:
                reasons[row] = CERTAIN
    counts, lists = torch.zeros(len(queries), dtype=torch.int64), {}
    for number in range(1, most + 1):
        active = [row for row, reason in enumerate(reasons) if reason == ALL]
        counts[active] = number
        before, lists = lists, search.imagined(drawn.mean(counts), counts > 0, (METHOD,))[METHOD]
        if bounds.settled is None or number == 1 or number == most:
            continue
        same = overlap(lists, before, top)
        for row in active:
            if same[queries[row].query_id] >= bounds.settled:
                reasons[row] = SETTLED
    skipped = {query.query_id for query, reason in zip(queries, reasons, strict=True) if reason == CERTAIN}
    return Stopped(counts, reasons, lists | {query_id: plain[NO_PROXY][query_id] for query_id in skipped})


def lead(search: Search, text: Lists) -> dict[str, float]:
    """{query id: cosine of the text's first image less that of its second}; queries with a shorter list have none."""
    norms = search.inputs.text.norm(dim=1).tolist()
    found = {}
    for query, norm in zip(search.inputs.queries, norms, strict=True):
        scores = [entry[1] for entry in text[query.query_id][:2]]
        if len(scores) == 2:
            found[query.query_id] = (scores[0] - scores[1]) / norm
    return found
