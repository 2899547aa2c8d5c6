"""One pass over the gallery for every list that is asked for; the [Q, G] similarities are never held."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch

from ipcir_steps.errors import InputError
from ipcir_steps.ranking.blocks import LANES, blocks, check
from ipcir_steps.ranking.topk import TopK

TILE = 64  # query rows balanced at once: such a tile stays in the processor's cache for all its lambdas
OVERHEAD = 640 << 20  # bytes that python, torch and its buffers take before the first block


@dataclasses.dataclass(frozen=True)
class Balance:
    """A list per lambda from S_t and one S_p.

    proxy: the name of a part, whose similarity is S_p; or what each of several parts counts, as a number or a tensor
    [Q, 1] (similarities are linear, so a sweep over the weights of eq. 1 needs one product per part);
    None: S_t alone. kind: "product" is eq. 2, lambda S_t + (1 - lambda) S_t S_p; "sum" is
    lambda S_t + (1 - lambda) S_p.
    """

    proxy: str | Mapping[str, object] | None = None
    lambdas: tuple[float, ...] = (1.0,)
    kind: Literal["product", "sum"] = "product"


def scan(text, gallery, balances: Sequence[Balance], parts=None, k=50, exclude=None, subset=None, **limits):
    """Top-k lists of every balance and lambda in one pass over the gallery.

    text [Q, D]: S_t is its product with the normalised gallery, so the baseline decides its norm.
    gallery [G, D] un-normalised; parts: name to proxy [Q, D]; exclude int [Q]: a gallery row that the query may not
    find, or -1; subset: gallery rows to search (indices are still gallery rows), in rising order.
    limits: block (gallery rows), memory_mb (resident memory, MiB), device.
    Returns one (indices int64 [L, Q, k], scores float32 [L, Q, k]) per balance, k no larger than the gallery; ties in
    gallery order; -1 and -inf fill up a list that an exclusion leaves short.
    Raises InputError naming the tensor and row: NaN or infinite, zero vector, other dimensions.
    """
    device = limits.get("device", "cpu")
    text = check(text, "text", gallery.shape[1]).to(device)
    parts = {name: check(part, name, gallery.shape[1]).to(device) for name, part in (parts or {}).items()}
    for name, part in parts.items():
        if len(part) != len(text):
            raise InputError(f"has {len(part)} rows, text has {len(text)}", field=name)
    queries, total = len(text), len(gallery) if subset is None else len(subset)
    subset = None if subset is None else np.asarray(subset)
    hidden = _hidden(exclude, queries, len(gallery), subset)
    lists = sum(len(balance.lambdas) for balance in balances) * queries
    rows = block_rows(gallery.shape[1], (1 + len(parts)) * queries, lists, k, limits)
    best = TopK(lists, min(k, total), device)
    stacked = torch.cat([text, *parts.values()])
    products = torch.empty(len(stacked) * min(rows, -(-total // LANES) * LANES), device=device)
    for start, count, block in blocks(gallery, rows, device, subset):
        out = products[: len(stacked) * len(block)].view(len(stacked), len(block))
        torch.mm(stacked, block.T, out=out)
        similar = out.view(1 + len(parts), queries, len(block))
        for low in range(0, queries, TILE):
            tile = similar[:, low : low + TILE]
            at = hidden[low : low + TILE] - start
            inside = ((at >= 0) & (at < count)).nonzero().flatten()
            barred = (inside.to(device), at[inside].to(device)) if len(inside) else None
            _balance(
                tile, dict(zip(parts, tile[1:], strict=True)), balances, best, (low, start, count), barred, queries
            )
        best.merge()
    found = best.indices.cpu()
    if subset is not None and total:
        found = torch.where(found >= 0, torch.from_numpy(subset)[found.clamp(min=0)], -1)
    scores = best.scores.cpu()
    out, at = [], 0
    for balance in balances:
        rows = slice(at, at := at + len(balance.lambdas) * queries)
        shape = (len(balance.lambdas), queries, -1) if queries else (len(balance.lambdas), 0, min(k, total))
        out.append((found[rows].view(shape), scores[rows].view(shape)))
    return out


def _balance(tile, parts, balances, best, place, barred, queries):
    (low, start, count), text, row = place, tile[0], 0
    buffer = torch.empty_like(text)
    for balance in balances:
        proxy = None
        if balance.proxy is not None:
            proxy = parts[balance.proxy] if isinstance(balance.proxy, str) else _mix(balance.proxy, parts, low)
            proxy = text * proxy if balance.kind == "product" else proxy
        for value in balance.lambdas:
            scores = buffer.copy_(text) if proxy is None else torch.lerp(proxy, text, value, out=buffer)
            scores[:, count:] = -torch.inf
            if barred is not None:
                scores[barred] = -torch.inf
            best.add(scores, row + low, start)
            row += queries


def _mix(weights, parts, low):
    rows = len(next(iter(parts.values())))

    def weight(value):
        return value[low : low + rows] if isinstance(value, torch.Tensor) and len(value) > 1 else value

    return sum(weight(value) * parts[name] for name, value in weights.items())


def _hidden(exclude, queries, total, subset):
    if exclude is None:
        return torch.full((queries,), -1)
    exclude = torch.as_tensor(exclude, dtype=torch.int64)
    if exclude.shape != (queries,) or bool(((exclude < -1) | (exclude >= total)).any()):
        raise InputError(f"must be {queries} gallery rows or -1", field="exclude")
    if subset is None:
        return exclude
    places = torch.full((total + 1,), -1)  # the last one is for "none", -1
    places[torch.from_numpy(subset)] = torch.arange(len(subset))
    return places[exclude]


def top_sum(differences, gallery, k=50, **limits):
    """Sum of the k largest entries of max(-d g^T, 0) over the gallery, for every query and caption: LDRE's statistic.

    differences [Q, C, D] float32: target minus source captions; gallery [G, D] un-normalised.
    limits: as in ``scan``. Returns float32 [Q, C], accumulated in float64. One product per caption.
    """
    queries, captions, dims = differences.shape
    device = limits.get("device", "cpu")
    rows = torch.as_tensor(differences).reshape(queries * captions, dims).to(device, torch.float32)
    if not rows.isfinite().all():
        row = int((~rows.isfinite().all(1)).nonzero()[0, 0])
        raise InputError("has NaN or infinite values", record=[row // captions, row % captions], field="differences")
    size = block_rows(dims, min(len(rows), _STRIP), len(rows), k, limits, held=len(rows))
    best = TopK(len(rows), min(k, len(gallery)), device, floor=0.0)
    products = torch.empty(min(len(rows), _STRIP) * min(size, -(-len(gallery) // LANES) * LANES), device=device)
    for start, _, block in blocks(gallery, size, device):
        flipped = block.neg_().T
        for low in range(0, len(rows), _STRIP):
            strip = rows[low : low + _STRIP]
            out = products[: len(strip) * len(block)].view(len(strip), len(block))
            torch.mm(strip, flipped, out=out)
            best.add(out, low, start)  # padding scores 0, never above the floor
        best.merge()
    return best.scores.double().sum(1).float().view(queries, captions).cpu()


_STRIP = 1024  # rows of one product in top_sum


def block_rows(dims, product_rows, lists, k, limits, held=0) -> int:
    """Gallery rows per block so that buffers and running lists stay within ``memory_mb``; at most ``block``."""
    block, memory_mb = limits.get("block", 8192), limits.get("memory_mb", 2048)
    fixed = OVERHEAD + 8 * dims * (product_rows + held) + 24 * lists * k
    each = 4 * (product_rows + 3 * dims + 4 * TILE)
    fit = ((memory_mb << 20) - fixed) // each
    if fit < LANES:
        needed = (fixed + LANES * each >> 20) + 1
        raise InputError(f"is {memory_mb}, this needs {needed}", field="memory_mb", remedy="Raise the memory bound.")
    return int(min(block, fit) // LANES * LANES) or LANES
