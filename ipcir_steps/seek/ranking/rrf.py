"""Reciprocal rank fusion of the text's list and the proxy's (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CONSTANT = 60  # theirs: how slowly the first ranks differ
DEPTH = 1000  # places of each side that count; an image below them has no share of that side


def fused(text: "torch.Tensor", proxy: "torch.Tensor", lams: Sequence, length: int, constant: int = CONSTANT) -> tuple:
    """lambda / (constant + rank by the text) + (1 - lambda) / (constant + rank by the proxy), the best of each query
    and lambda.

    text, proxy: int64 [Q, n], gallery rows by rank, -1 behind the end. lams: numbers, or tensors [Q]. Returns (indices
    int64 [L, Q, length], scores float32 [L, Q, length]); ties in gallery order; -1 and -inf fill up.
    """
    import torch

    indices = torch.full((len(lams), len(text), length), -1, dtype=torch.int64)
    scores = torch.full((len(lams), len(text), length), -torch.inf)
    for query, sides in enumerate(zip(text, proxy, strict=True)):
        images = torch.cat(sides).unique()  # in rising order, so that a stable sort keeps ties in gallery order
        images = images[images >= 0]
        parts = [_shares(side[side >= 0], images, constant) for side in sides]
        for number, lam in enumerate(lams):
            own = float(lam if isinstance(lam, int | float) else lam[query])
            values = own * parts[0] + (1 - own) * parts[1]
            order = values.argsort(descending=True, stable=True)[:length]
            indices[number, query, : len(order)] = images[order]
            scores[number, query, : len(order)] = values[order].float()
    return indices, scores


def shares_of(similarities: "torch.Tensor", constant: int = CONSTANT) -> "torch.Tensor":
    """float64 [n], 1 / (constant + rank) of each of some images among themselves; ties in their order."""
    import torch

    order = similarities.argsort(descending=True, stable=True)
    return _shares(order, torch.arange(len(order)), constant)


def _shares(ranked: "torch.Tensor", images: "torch.Tensor", constant: int) -> "torch.Tensor":
    """float64, 1 / (constant + rank) of each of the images, 0 where it has no rank. images: all, in rising order."""
    import torch

    shares = torch.zeros(len(images), dtype=torch.float64)
    places = torch.arange(1, len(ranked) + 1, dtype=torch.float64)
    shares[torch.searchsorted(images, ranked)] = 1 / (constant + places)
    return shares
