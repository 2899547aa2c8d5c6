"""When a query gets no further proxy: its text is certain, or the robust proxy's list has settled.

One rule for proxies that are drawn round after round (``ipcir stopping``), and for those that are all there (``ipcir
frontier``): the first n of N proxies are those that a run with n draws, up to rounding in a batch of another size.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipcir_steps.config.stopping import Bounds
from ipcir_steps.seek.stopping.search import Drawn, Lists, Search, overlap
from ipcir_steps.variants import METHOD

if TYPE_CHECKING:
    import torch

REASONS = (
    "the text is certain",
    "its list has settled",
    "all were drawn",
    "none could be drawn",
    "no more could be drawn",
)
CERTAIN, SETTLED, ALL, FAILED, FEWER = range(5)


@dataclasses.dataclass(frozen=True)
class State:
    """Where each query of a search stands. counts: int64 [Q], the proxies that it has got; reasons: index into
    ``REASONS`` of each, None while it gets more."""

    counts: "torch.Tensor"
    reasons: Sequence[int | None]

    @property
    def open(self) -> list[int]:
        """Rows of the queries that get more."""
        return [row for row, reason in enumerate(self.reasons) if reason is None]


@dataclasses.dataclass(frozen=True)
class Stopped:
    """counts, reasons: as in ``State``, where all have stopped; lists: the method's."""

    counts: "torch.Tensor"
    reasons: Sequence[int]
    lists: Lists


def stop(search: Search, drawn: Drawn, bounds: Bounds, text: Lists) -> Stopped:
    """Round after round, every query that has not stopped gets one more proxy; all are fused and ranked anew.

    The dataset's maximum of eq. 1 is taken over the proxies that there are in each round. text: the lists by the text
    alone.
    """
    most, lists = drawn.units.shape[1], None
    state = start(search, bounds, text)
    for number in range(1, most + 1):
        state, lists = advance(search, drawn, state, number, bounds=bounds, most=most, before=lists)
    return Stopped(state.counts, state.reasons, listed(search, drawn, state))


def start(search: Search, bounds: Bounds, text: Lists) -> State:
    """Before the first round: a query stops where its text is certain, and where it lacks another part of eq. 1."""
    import torch

    reasons = [None if known else FAILED for known in search.known.tolist()]
    if bounds.certain is not None:
        leads = lead(search, text)
        for row, query in enumerate(search.inputs.queries):
            if reasons[row] is None and leads.get(query.query_id, 0.0) >= bounds.certain:
                reasons[row] = CERTAIN
    return State(torch.zeros(len(reasons), dtype=torch.int64), reasons)


def advance(
    search: Search, drawn: Drawn, state: State, number: int, *, bounds: Bounds, most: int,
    before: Lists | None = None,
) -> tuple[State, Lists | None]:  # fmt: skip
    """The state after round ``number`` of at most ``most``, and its lists where they were needed.

    drawn: the proxies of the rounds so far, later ones are not looked at; before: the lists of the round before, if
    known.
    """
    counts, reasons = state.counts.clone(), list(state.reasons)
    for row in state.open:
        if drawn.counts[row] >= number:
            counts[row] = number
        else:
            reasons[row] = FAILED if number == 1 else FEWER
        if number == most and reasons[row] is None:
            reasons[row] = ALL
    now = State(counts, reasons)
    if bounds.settled is None or number == 1 or not now.open:
        return now, None
    lists = listed(search, drawn, now)
    same = overlap(lists, before or listed(search, drawn, state), bounds.top)
    for row in now.open:
        if same[search.inputs.queries[row].query_id] >= bounds.settled:
            reasons[row] = SETTLED
    return now, lists


def listed(search: Search, drawn: Drawn, state: State) -> Lists:
    """The method's lists, each query's by the proxies that it has got; of a certain one those of the fusion without
    any."""
    import torch

    skipped = torch.tensor([reason == CERTAIN for reason in state.reasons], dtype=torch.bool)
    return search.imagined(drawn.mean(state.counts), state.counts > 0, (METHOD,), skipped)[METHOD]


def lead(search: Search, text: Lists) -> dict[str, float]:
    """{query id: cosine of the text's first image less that of its second}; queries with a shorter list have none."""
    norms = search.inputs.text.norm(dim=1).tolist()
    found = {}
    for query, norm in zip(search.inputs.queries, norms, strict=True):
        scores = [entry[1] for entry in text[query.query_id][:2]]
        if len(scores) == 2:
            found[query.query_id] = (scores[0] - scores[1]) / norm
    return found
