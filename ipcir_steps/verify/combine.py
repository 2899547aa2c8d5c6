"""The new order of a list: the ranking's scores and the judgement, mixed."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from ipcir_steps.core.rankings import Entry

Judgements = Mapping[tuple[str, ...], Mapping[str, float | None]]


@dataclasses.dataclass(frozen=True)
class Mix:
    """weight: share of the judgement in [0, 1]; temperature: what log-odds are divided by, None: their spread."""

    weight: float = 0.3
    temperature: float | None = None


def mixed(scores: Sequence[float], odds: Sequence[float], mix: Mix) -> list[float]:
    """(1 - w) (s - mean s) / sd s + w (j - mean j) / T of each of the first candidates: a logarithmic opinion pool.

    scores: s, the ranking's; odds: j, the judge's log-odds; means and standard deviations are those of these
    candidates, T without a temperature is sd j. What has no spread counts nothing.

    >>> mixed([3.0, 2.0, 1.0], [0.0, 0.0, 9.0], Mix(0.0))[0] > 1.2
    True
    >>> [round(value, 2) for value in mixed([1.0, 1.0], [-2.0, 2.0], Mix(0.5, 4.0))]
    [-0.25, 0.25]
    """
    ranked, judged = _centred(scores), _centred(odds)
    spread = _spread(judged) if mix.temperature is None else mix.temperature
    own = _spread(ranked)
    return [
        (1 - mix.weight) * (s / own if own else 0.0) + mix.weight * (j / spread if spread else 0.0)
        for s, j in zip(ranked, judged, strict=True)
    ]


def _centred(values: Sequence[float]) -> list[float]:
    mean = math.fsum(values) / len(values)
    return [value - mean for value in values]


def _spread(centred: Sequence[float]) -> float:
    spread = math.sqrt(math.fsum(value * value for value in centred) / len(centred))
    return spread if spread > 1e-9 else 0.0


def reordered(entries: Sequence[Entry], judgements: Judgements, k: int, mix: Mix) -> list[Entry] | None:
    """The list with its first ``k`` in their new order, the others as they were; None where one of the first has no
    judgement, so that the list stays unverified.

    entries: (image, score[, place]), best first; judgements: {set of candidates: {image: log-odds, None where there are
    none}}, of which the smallest set that holds them all counts. The new scores are those of ``mixed``, moved so that
    the last of the first ``k`` keeps a score no lower than the next image's. Ties keep their order.
    """
    first = [entry for entry in entries[:k] if len(entry) == 2 or entry[2] <= k]
    odds = odds_of([entry[0] for entry in first], judgements)
    if odds is None:
        return None
    values = mixed([entry[1] for entry in first], odds, mix)
    order = sorted(range(len(first)), key=lambda number: -values[number])
    below = list(entries[len(first) :])
    lift = below[0][1] - min(values) if below else 0.0
    return [(first[number][0], values[number] + lift) for number in order] + below


def odds_of(names: Sequence[str], judgements: Judgements) -> list[float] | None:
    """The judge's log-odds of some candidates beside each other; None where one is missing."""
    wanted = set(names)
    holding = sorted((len(images), images) for images in judgements if wanted.issubset(images))
    if not names or not holding:
        return None
    found = [judgements[holding[0][1]][name] for name in names]
    return None if None in found else found


def judgements_of(record: Mapping) -> dict[tuple[str, ...], dict[str, float | None]]:
    """What ``judges.judged`` wrote of one query."""
    return {
        tuple(entry["images"]): dict(zip(entry["images"], entry["values"], strict=True)) for entry in record["judged"]
    }
