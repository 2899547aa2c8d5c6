"""What the two sides of eq. 2 show of a query without labels, from two passes over the gallery in bounded memory."""

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from ipcir_steps.seek.ranking.blocks import blocks, unit
from ipcir_steps.seek.ranking.inputs import RetrievalInputs
from ipcir_steps.seek.ranking.streaming import TILE, Balance, block_rows, scan

DEPTH = 50  # images of each side's list that are looked at
CHUNK = 64  # queries whose images are held at once

Believed = Mapping[str, Mapping[str, float]]  # {query id: {image: log-odds}}, of those that were judged


@dataclasses.dataclass(frozen=True)
class Sides:
    """S_t and S_p of each query over its gallery, without the image that it may not find.

    text_mean, text_sd, proxy_mean, proxy_sd, correlation: float32 [Q], over the whole gallery; correlation of S_t with
    S_p. lists: int64 [Q, 2, k], gallery rows of the first k by S_t and by S_p; -1 where a gallery is shorter.
    text, proxy: float32 [Q, 2, k], S_t and S_p of those images; the mean where there is none.
    odds: float32 [Q, 2, k], natural log-odds by which a judge believes in them; NaN where it was not asked.
    """

    text_mean: torch.Tensor
    text_sd: torch.Tensor
    proxy_mean: torch.Tensor
    proxy_sd: torch.Tensor
    correlation: torch.Tensor
    lists: torch.Tensor
    text: torch.Tensor
    proxy: torch.Tensor
    odds: torch.Tensor

    def standard(self) -> tuple[torch.Tensor, torch.Tensor]:
        """``text`` and ``proxy`` in standard deviations above their means, float32 [Q, 2, k]."""
        of = ((self.text, self.text_mean, self.text_sd), (self.proxy, self.proxy_mean, self.proxy_sd))
        text, proxy = ((values - mean[:, None, None]) / sd[:, None, None] for values, mean, sd in of)
        return text, proxy

    def of(self, rows: torch.Tensor) -> "Sides":
        """Those of some queries. rows: bool [Q]."""
        return Sides(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})

    def head(self, count: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
        """S_t and S_p, float32 [Q], mean over the ``count`` images of both lists that stand highest in their sum."""
        total = sum(self.standard()).masked_fill(self.lists < 0, -torch.inf).flatten(1)
        first = total.topk(min(count, total.shape[1]), 1).indices
        return self.text.flatten(1).gather(1, first).mean(1), self.proxy.flatten(1).gather(1, first).mean(1)


def sides_of(
    inputs: RetrievalInputs, proxy: torch.Tensor, depth: int = DEPTH, believed: Believed | None = None, **limits
) -> Sides:
    """The sides of every query. proxy: float32 [Q, D], used as given; believed: what a judge says, where one was asked;
    limits: as in ``scan``.

    A query that searches a part of the gallery is seen among its images.
    """
    found: dict[str, torch.Tensor] = {}
    for rows, subset in inputs.by_category():
        part = _of_part(inputs, rows, subset, proxy[rows], depth, limits)
        for name, values in part.items():
            if name not in found:
                found[name] = values.new_full((len(inputs.queries), *values.shape[1:]), -1 if name == "lists" else 0)
            found[name][rows] = values
    return Sides(**found, odds=_odds(inputs, found["lists"], believed or {}))


def _odds(inputs: RetrievalInputs, lists: torch.Tensor, believed: Believed) -> torch.Tensor:
    odds = torch.full(lists.shape, torch.nan)
    for row, query in enumerate(inputs.queries):
        told = believed.get(query.query_id, {})
        known = {inputs.row_of[name]: value for name, value in told.items() if name in inputs.row_of}
        if known:
            listed = [known.get(image, torch.nan) for image in lists[row].flatten().tolist()]
            odds[row] = torch.tensor(listed).view(lists.shape[1:])
    return odds


def _of_part(inputs: RetrievalInputs, rows: Sequence[int], subset, proxy: torch.Tensor, depth: int, limits) -> dict:
    text, gallery = inputs.text[rows], inputs.gallery
    moments = _moments(text, proxy, gallery, subset, limits)
    balances = [Balance(), Balance("proxy", (0.0,), "sum")]
    seen = scan(text, gallery, balances, {"proxy": proxy}, depth, inputs.excluded(rows), subset, **limits)
    lists = torch.nn.functional.pad(torch.stack([indices[0] for indices, _ in seen], 1), (0, depth), value=-1)
    lists = lists[..., :depth]
    similar = {"text": torch.zeros(lists.shape), "proxy": torch.zeros(lists.shape)}
    for low in range(0, len(rows), CHUNK):
        at = slice(low, low + CHUNK)
        images = torch.as_tensor(gallery[lists[at].clamp(min=0).flatten()]).float()
        images = unit(images, "gallery").view(*lists[at].shape, -1)
        for name, side in (("text", text[at]), ("proxy", proxy[at])):
            similar[name][at] = torch.einsum("qskd,qd->qsk", images, side)
    for name, values in similar.items():
        similar[name] = torch.where(lists >= 0, values, moments[f"{name}_mean"][:, None, None])
    return {**moments, "lists": lists, **similar}


def _moments(text: torch.Tensor, proxy: torch.Tensor, gallery, subset, limits) -> dict[str, torch.Tensor]:
    """Means, standard deviations and correlation of S_t and S_p; sums in float64."""
    sums, count = torch.zeros(5, len(text), dtype=torch.float64), 0
    rows = block_rows(gallery.shape[1], 2 * len(text), 2 * len(text), 1, limits)
    for _, size, block in blocks(gallery, rows, subset=subset):
        count += size
        for low in range(0, len(text), TILE):
            t, p = (side[low : low + TILE] @ block[:size].T for side in (text, proxy))
            of_tile = (t, p, t * t, p * p, t * p)
            sums[:, low : low + TILE] += torch.stack([part.sum(1, dtype=torch.float64) for part in of_tile])
    t, p, tt, pp, tp = sums / count
    text_sd, proxy_sd = ((square - mean**2).clamp(min=1e-14).sqrt() for square, mean in ((tt, t), (pp, p)))
    found = {"text_mean": t, "text_sd": text_sd, "proxy_mean": p, "proxy_sd": proxy_sd}
    found["correlation"] = (tp - t * p) / (text_sd * proxy_sd)
    return {name: values.float() for name, values in found.items()}
