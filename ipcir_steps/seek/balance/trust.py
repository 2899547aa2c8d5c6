"""Which proxies can be trusted, from what they agree with. Each measure is held against the proxies of other queries.

A proxy is trusted by how much more it agrees with its query than the proxies of other queries do: the share of those
that agree at least as well is uniform for a proxy that has nothing to do with the query. The trust is one minus the
local false discovery rate (Efron, Large-Scale Inference, 2010, chapter 5), with Storey's estimate of the share of wrong
proxies and Grenander's estimate of the falling density.
"""

import itertools
import math

import torch

from ipcir_steps.core.files import seed
from ipcir_steps.seek.balance.sides import sides_of
from ipcir_steps.seek.fusion import proxy_mean, unit
from ipcir_steps.seek.fusion.recipes import Parts
from ipcir_steps.seek.ranking.inputs import RetrievalInputs

OTHERS = 100  # other queries whose proxies each one is held against
NEAREST = 5  # those of them whose captions are most alike
CHUNK = 64  # queries whose proxies are compared with all captions at once
FEWEST = 20  # queries below which nothing is known of other proxies: all are then trusted
PERSISTENCE = 0.9  # of rank-biased overlap: the weight of each further place


def by_captions(parts: Parts, inputs: RetrievalInputs, **limits) -> torch.Tensor:
    """Trust [Q, N] from how much nearer each proxy is to the query's own captions than to those of any other query.

    The captions are means of the normalised target captions; the measure is the cosine with one's own less the highest
    with another's. It is held against the proxies of the ``NEAREST`` queries whose captions are most alike, beside
    which a proxy that is wrong in a detail does not pass for right.
    """
    captions, proxies = unit(unit(parts.target).mean(0)), unit(parts.proxies)
    shares = torch.ones(proxies.shape[:2])
    if len(captions) < FEWEST:
        return shares
    highest, places = _highest(proxies, captions, 2)
    _, nearest = _highest(captions, captions, NEAREST + 1)
    for row, like in enumerate(nearest):
        some = torch.cat([torch.tensor([row]), like[like != row][:NEAREST]])
        other = torch.where(places[some, :, 0] == row, highest[some, :, 1], highest[some, :, 0])
        margins = proxies[some] @ captions[row] - other
        shares[row] = share_above(margins[0], margins[1:][parts.drawn[some[1:]]])
    return among(shares, parts.drawn)


def _highest(rows: torch.Tensor, captions: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and query rows [..., count] of the captions that are nearest to each of ``rows`` [Q, ..., D], all unit
    vectors; the products are never held whole."""
    parts = [(part @ captions.T).topk(count, -1) for part in rows.split(CHUNK)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def by_one_another(parts: Parts, inputs: RetrievalInputs, **limits) -> torch.Tensor:
    """Trust [Q, N] from the mean cosine of each proxy with the query's other ones; 1 where there is one alone.

    It is held against the cosine with the mean proxies of ``OTHERS`` queries. Five proxies of one wrong query agree
    with each other, so this sees only that some of them differ from the rest.
    """
    proxies, drawn = unit(parts.proxies), parts.drawn
    counts = drawn.sum(1)
    if not (counts > 1).any():
        return torch.ones(proxies.shape[:2])
    alike = proxies @ proxies.transpose(1, 2)
    own = (alike.sum(2) - alike.diagonal(dim1=1, dim2=2)) / (counts[:, None] - 1).clamp(min=1)
    means, shares = proxies.sum(1) / counts[:, None], torch.ones_like(own)
    for row, others in enumerate(other_rows(parts.query_ids, parts.seed)):
        for number in range(int(counts[row])):
            shares[row, number] = share_above(own[row, number], means[others] @ proxies[row, number])
    return among(shares, drawn & (counts > 1)[:, None])


def by_lists(parts: Parts, inputs: RetrievalInputs, **limits) -> torch.Tensor:
    """Trust [Q, N], the same for all proxies of a query, from the rank-biased overlap of the list of S_t with f_p's.

    Only queries that search the same images are compared.
    """
    row_of = {query.query_id: row for row, query in enumerate(inputs.queries)}
    kept = [number for number, query_id in enumerate(parts.query_ids) if query_id in row_of]
    whole = torch.ones(len(inputs.queries), parts.proxies.shape[-1])
    rows = [row_of[parts.query_ids[number]] for number in kept]
    whole[rows] = proxy_mean(parts.proxies, parts.counts)[kept]
    lists = sides_of(inputs, whole, **limits).lists
    trust = torch.ones(len(parts.query_ids))
    groups: dict[str | None, list[tuple[int, int]]] = {}
    for number, row in zip(kept, rows, strict=True):
        groups.setdefault(inputs.queries[row].gallery, []).append((number, row))
    for members in groups.values():
        numbers, places = zip(*members, strict=True)
        text, proxy = lists[list(places)].unbind(1)
        ids, shares = [parts.query_ids[number] for number in numbers], torch.ones(len(numbers))
        for at, others in enumerate(other_rows(ids, parts.seed)):
            overlaps = rank_biased_overlap(text[at], torch.cat([proxy[at : at + 1], proxy[others]]))
            shares[at] = share_above(overlaps[0], overlaps[1:])
        trust[list(numbers)] = posterior(shares)
    return trust[:, None].expand(-1, parts.proxies.shape[1]).contiguous()


def other_rows(query_ids: list[str], run_seed: int, most: int = OTHERS) -> list[torch.Tensor]:
    """For each query the rows of ``most`` others: those that follow it in an order fixed by a hash of the ids."""
    order = sorted(range(len(query_ids)), key=lambda row: seed(run_seed, "balance", query_ids[row]))
    place, ring = {row: at for at, row in enumerate(order)}, torch.tensor(order * 2, dtype=torch.int64)
    count = min(most, len(order) - 1)
    return [ring[place[row] + 1 : place[row] + 1 + count] for row in range(len(order))]


def share_above(own: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The share of ``others`` [M] that are at least ``own`` [...], which itself counts as one of them: in (0, 1]."""
    ordered = others.sort().values
    at_least = len(ordered) - torch.searchsorted(ordered, own.contiguous(), right=False)
    return (1 + at_least).float() / (1 + len(ordered))


def among(shares: torch.Tensor, some: torch.Tensor) -> torch.Tensor:
    """``posterior`` of some of the shares [Q, N]; the trust of the others, which are of no proxy that was drawn or of
    one alone, is 1. some: bool [Q, N]."""
    if some.all():
        return posterior(shares)
    trust = torch.ones_like(shares)
    trust[some] = posterior(shares[some])
    return trust


def posterior(shares: torch.Tensor) -> torch.Tensor:
    """Trust in [0, 1] of each share, which never rises with it. Fewer than ``FEWEST`` queries are trusted whole.

    shares: float [Q] or [Q, N] in [0, 1], uniform for wrong proxies and near 0 for right ones.

    >>> import torch
    >>> mixed = torch.cat([torch.full((50,), 0.01), torch.linspace(0.01, 1, 50)])
    >>> [round(value, 1) for value in posterior(mixed)[[0, 99]].tolist()]
    [1.0, 0.0]
    """
    if len(shares) < FEWEST:
        return torch.ones_like(shares)
    flat = shares.double().flatten()
    wrong = min(1.0, (1 + int((flat > 0.5).sum())) / (0.5 * len(flat)))
    points, counts = flat.unique(return_counts=True)
    density = concave_slopes(points, counts.cumsum(0) / len(flat))
    trust = (1 - wrong / density.clamp(min=1e-9)).clamp(0, 1)
    return trust[torch.searchsorted(points, flat)].view(shares.shape).float()


def concave_slopes(points: torch.Tensor, heights: torch.Tensor) -> torch.Tensor:
    """The slope, at each point, of the least concave function above (0, 0) and (points, heights): Grenander's estimate
    of a falling density. points: rising, in (0, 1]; a first point 0 takes the slope of the next one."""
    corners: list[tuple[float, float]] = [(0.0, 0.0)]
    for x, y in zip(points.clamp(min=1e-6).tolist(), heights.tolist(), strict=True):
        while len(corners) > 1 and _slope(corners[-2], corners[-1]) <= _slope(corners[-1], (x, y)):
            corners.pop()
        corners.append((x, y))
    ends = torch.tensor([x for x, _ in corners[1:]], dtype=torch.float64)
    slopes = torch.tensor([_slope(*pair) for pair in itertools.pairwise(corners)], dtype=torch.float64)
    return slopes[torch.searchsorted(ends, points.clamp(min=1e-6))]


def _slope(left: tuple[float, float], right: tuple[float, float]) -> float:
    return (right[1] - left[1]) / max(right[0] - left[0], 1e-12)


def rank_biased_overlap(one: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Overlap of a list with each of ``others``, in [0, 1): the share of images that both have down to depth d, with
    weight p^(d-1) (Webber, Moffat and Zobel, TOIS 2010, without extrapolation).

    one: int64 [k]; others: int64 [M, k]; -1 is no image.

    >>> import torch
    >>> rank_biased_overlap(torch.tensor([1, 2]), torch.tensor([[1, 2], [3, 4]])).tolist()
    [0.1899999976158142, 0.0]
    """
    depth = len(one)
    each = [(1 - PERSISTENCE) * PERSISTENCE ** (at - 1) / at for at in range(1, depth + 1)]
    # An image at places a and b of the two lists is common to both from depth max(a, b) on.
    beyond = torch.tensor([math.fsum(each[at:]) for at in range(depth)])
    places = torch.arange(depth)
    from_depth = beyond[torch.maximum(places[:, None], places[None, :])]
    same = (one[None, :, None] == others[:, None, :]) & (one >= 0)[None, :, None]
    return (same * from_depth).sum((1, 2))
