"""Exact top-k of eq. 2 in large galleries without looking at every image: clusters, upper bounds and a proof.

Normalised images within angle r of a cluster's centre have a similarity to any vector x between |x| cos(a + r) and
|x| cos(a - r), where a is the angle of x to the centre. Eq. 2 is bilinear in S_t and S_p, so its maximum over the
rectangle of both ranges lies in a corner. Clusters are visited in the order of these bounds; once the k-th best score
is above the next bound, no other image can enter the list. This holds for any sign of the similarities.
"""

import dataclasses

import numpy as np
import torch

from ipcir_steps.seek.ranking.blocks import blocks, check, unit
from ipcir_steps.seek.ranking.streaming import Balance, scan
from ipcir_steps.seek.ranking.topk import TopK

ERROR = 2e-6  # float32 error of a cosine
SLACK = 1e-5  # float32 error of a score, relative to the largest possible one
TRIED = 7  # clusters to visit before a query is given up: a wide cluster may come before the right one
WORTH = 0.5  # a scan runs at full speed of the processor, so the search has to spare at least this share of it


@dataclasses.dataclass(frozen=True)
class Clusters:
    """Normalised gallery in cluster order. rows [G, D]; images [G]: gallery row of each; bounds [K + 1]: cluster c is
    rows bounds[c] … bounds[c + 1]; centres [K, D] normalised; radii [K]: largest angle to the centre.
    """

    rows: torch.Tensor
    images: torch.Tensor
    bounds: torch.Tensor
    centres: torch.Tensor
    radii: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Report:
    """How a search went. closed: queries whose bound closed early; the others were scanned. products: inner products,
    bounds included; scan_products: what a scan of all takes.
    """

    queries: int
    closed: int
    products: int
    scan_products: int

    def __str__(self):
        share = self.scan_products / max(1, self.products)
        scanned = f", {self.queries - self.closed} scanned" if self.closed < self.queries else ""
        return f"bound closed for {self.closed} of {self.queries} queries{scanned}; {share:.1f}x fewer inner products"


def build(gallery, count: int | None = None, rounds=8, seed=0, block=8192) -> Clusters:
    """Spherical k-means on a sample, then one pass that assigns every image. gallery [G, D] as in ``rank``.

    count: clusters, 2 sqrt(G) unless given; should be more than the gallery has groups, else two share a wide one.
    The result is exact whatever the clusters are; good ones make it fast.
    """
    total = len(gallery)
    count = min(total, count or max(1, round(2 * total**0.5)))
    draw = torch.Generator().manual_seed(seed)
    picked = torch.randperm(total, generator=draw)[: min(total, 32 * count)].sort().values.numpy()
    sample = torch.cat([part[:n].clone() for _, n, part in blocks(gallery, block, subset=picked)])
    centres = _spread(sample, count, draw)
    for _ in range(rounds):
        home = _nearest(sample, centres)[0]
        sums = torch.zeros_like(centres).index_add_(0, home, sample)
        alive = sums.norm(dim=1) > 1e-6
        centres[alive] = unit(sums[alive], "centres")
    homes, cosines = torch.empty(total, dtype=torch.int64), torch.empty(total)
    rows = torch.empty(total, gallery.shape[1])
    for start, n, part in blocks(gallery, block):
        homes[start : start + n], cosines[start : start + n] = _nearest(part[:n], centres)
    images = homes.argsort(stable=True)
    place = torch.empty_like(images)
    place[images] = torch.arange(total)
    for start, n, part in blocks(gallery, block):
        rows[place[start : start + n]] = part[:n]
    sizes = torch.bincount(homes, minlength=count)
    bounds = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    least = torch.ones(count).scatter_reduce(0, homes, cosines, "amin")
    return Clusters(rows, images, bounds, centres, (least - ERROR).clamp(-1, 1).arccos())


def _spread(sample, count, draw):
    """Starting centres far apart: each next one is the furthest from the rest of a few random candidates."""
    first = int(torch.randint(len(sample), (1,), generator=draw))
    chosen, closest = [first], sample @ sample[first]
    for _ in range(count - 1):
        some = torch.randint(len(sample), (64,), generator=draw)
        chosen.append(int(some[closest[some].argmin()]))
        closest = torch.maximum(closest, sample @ sample[chosen[-1]])
    return sample[chosen].clone()


def _nearest(rows, centres):
    parts = [(part @ centres.T).max(1) for part in rows.split(4096)]
    return torch.cat([p.indices for p in parts]), torch.cat([p.values for p in parts])


def search(text, clusters: Clusters, k=50, proxy=None, lam=1.0, combine="product"):
    """(indices int64 [Q, k], scores float32 [Q, k], Report): the lists of ``rank``, for one lambda.

    text, proxy [Q, D] as in ``rank``. Queries whose bounds cannot spare half of the gallery are scanned instead.
    """
    text = check(text, "text", clusters.rows.shape[1])
    proxy = None if proxy is None else check(proxy, "proxy", clusters.rows.shape[1])
    sides = [text] if proxy is None else [text, proxy]
    upper = _upper(sides, clusters, lam, combine)
    sizes = clusters.bounds.diff()
    order = upper.argsort(dim=1, descending=True)
    best = TopK(len(text), min(k, len(clusters.rows)))
    products = len(sides) * upper.numel()
    active, at, step = torch.arange(len(text)), 0, 1
    # Enough clusters to fill the lists come first; then more and more per round, as long as a bound is not closed.
    scanned = torch.zeros(len(text), dtype=torch.bool)
    seen = torch.zeros(len(text), dtype=torch.int64)
    while len(active) and at < order.shape[1]:
        visits = order[active, at : at + step]
        wanted = upper[active].gather(1, visits) >= best.scores[active, -1:]
        products += len(sides) * _visit(sides, clusters, lam, combine, active, visits, wanted, best)
        seen.index_add_(0, active, (sizes[visits] * wanted).sum(1))
        at, step = at + step, min(2 * step, 64)
        if at >= order.shape[1]:
            break
        active = active[upper[active].gather(1, order[active, at : at + 1])[:, 0] >= best.scores[active, -1]]
        left = ((upper[active] >= best.scores[active, -1:]) * sizes).sum(1)
        hopeless = (left > WORTH * len(clusters.rows)) & (seen[active] >= 4 * k) & (at >= TRIED)
        scanned[active[hopeless]] = True
        active = active[~hopeless]
    indices, scores = best.indices, best.scores
    if scanned.any():
        parts = {} if proxy is None else {"proxy": proxy[scanned]}
        chosen = Balance("proxy" if parts else None, (lam,), combine)
        found, values = scan(text[scanned], clusters.rows, [chosen], parts, k)[0]
        indices[scanned], scores[scanned] = found[0], values[0]
        products += len(sides) * int(scanned.sum()) * len(clusters.rows)
    images = clusters.images[indices]
    # Ties in gallery order: by image first, then stably by score.
    order = images.argsort(dim=1)
    images, scores = images.gather(1, order), scores.gather(1, order)
    order = scores.argsort(dim=1, descending=True, stable=True)
    report = Report(len(text), int((~scanned).sum()), products, len(sides) * len(text) * len(clusters.rows))
    return images.gather(1, order), scores.gather(1, order), report


def _upper(sides, clusters, lam, combine):
    """Upper bound [Q, K] of the balanced score in each cluster."""
    ranges, size = [], 0.0
    for side in sides:
        length = side.norm(dim=1, keepdim=True)
        cosine = (side / length) @ clusters.centres.T
        # The angle grows steeply near cosine 1: the error of the cosine counts, in the safe direction for either end.
        near, far = (cosine + ERROR).clamp(-1, 1).arccos(), (cosine - ERROR).clamp(-1, 1).arccos()
        low, high = (far + clusters.radii).clamp(max=np.pi).cos(), (near - clusters.radii).clamp(min=0).cos()
        ranges.append((length * low, length * high))
        size = length * (1 + size) if combine == "product" else length + size
    if len(ranges) == 1:
        upper = ranges[0][1]
    else:
        corners = [_score(t, p, lam, combine) for t in ranges[0] for p in ranges[1]]
        upper = torch.stack(corners).amax(0)
    return upper + SLACK * size


def _score(text, proxy, lam, combine):
    return lam * text + (1 - lam) * (text * proxy if combine == "product" else proxy)


def _visit(sides, clusters, lam, combine, active, visits, wanted, best):
    """Offer the members of the wanted clusters of each query; queries that want the same cluster share one product."""
    query, cluster = active[:, None].expand_as(visits)[wanted], visits[wanted]
    order = cluster.argsort(stable=True)
    query, cluster = query[order], cluster[order]
    names, counts = cluster.unique_consecutive(return_counts=True)
    products, at = 0, 0
    for name, count in zip(names.tolist(), counts.tolist(), strict=True):
        low, high = clusters.bounds[name : name + 2].tolist()
        queries, members = query[at : at + count], clusters.rows[low:high]
        at += count
        similar = [side[queries] @ members.T for side in sides]
        scores = similar[0] if len(similar) == 1 else _score(*similar, lam, combine)
        rows, columns = (scores >= best.scores[queries, -1:]).nonzero().unbind(1)
        best.offer(queries[rows], columns + low, scores[rows, columns])
        products += scores.numel()
    best.merge()
    return products
