"""One pass over the gallery for every list that is asked for; the [Q, G] similarities are never held."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.seek.ranking.blocks import FIRST, LANES, blocks, check
from ipcir_steps.seek.ranking.topk import TopK

TILE = 1024  # rows and columns of one product: it stays in the processor's cache for all that is made of it
BLOCK, MEMORY_MB = 8192, 2048  # gallery rows and MiB where the caller sets no limits
OVERHEAD = 640 << 20  # bytes that python, torch and its buffers take before the first block


@dataclasses.dataclass(frozen=True)
class Balance:
    """A list per lambda from S_t and one S_p.

    proxy: the name of a part, whose similarity is S_p; or what each of several parts counts, as a number or a tensor
    [Q, 1] (similarities are linear, so a sweep over the weights of eq. 1 needs one product per part);
    None: S_t alone. lambdas: one number for all queries, or a float32 tensor [Q] with each query's own.
    combine: "product" is eq. 2, lambda S_t + (1 - lambda) S_t S_p; "sum" is lambda S_t + (1 - lambda) S_p.
    """

    proxy: str | Mapping[str, object] | None = None
    lambdas: tuple["float | torch.Tensor", ...] = (1.0,)
    combine: Literal["product", "sum"] = "product"


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
    size = max(16, TILE // (2 + len(parts)))  # one more for what is made of the products
    sides = [torch.cat([side[low : low + size] for side in (text, *parts.values())]) for low in range(0, queries, size)]
    for start, columns in _columns(gallery, rows, device, subset):
        for tile, side in enumerate(sides):
            similar = torch.mm(side, columns.T).view(1 + len(parts), -1, len(columns))
            low = tile * size
            at = hidden[low : low + size] - start
            inside = ((at >= 0) & (at < len(columns))).nonzero().flatten()
            barred = (inside.to(device), at[inside].to(device)) if len(inside) else None
            named = dict(zip(parts, similar[1:], strict=True))
            place = low, queries, start, min(len(columns), total - start)
            _balance(similar[0], named, balances, best, place, barred)
        best.settle()
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


def _columns(gallery, rows, device, subset=None):
    """(start, normalised gallery rows) in pieces of at most TILE, but the first block whole: its k best set the bar."""
    for start, _, block in blocks(gallery, rows, device, subset):
        for low in range(0, len(block), TILE if start else len(block)):
            yield start + low, block[low : low + TILE] if start else block


def _balance(text, parts, balances, best, place, barred):
    (low, queries, start, count), row = place, 0
    buffer = torch.empty_like(text)
    for balance in balances:
        proxy = None
        if balance.proxy is not None:
            proxy = parts[balance.proxy] if isinstance(balance.proxy, str) else _mix(balance.proxy, parts, low)
            proxy = text * proxy if balance.combine == "product" else proxy
        for value in balance.lambdas:
            own = value[low : low + len(text), None].to(text) if isinstance(value, torch.Tensor) else value
            scores = buffer.copy_(text) if proxy is None else torch.lerp(proxy, text, own, out=buffer)
            scores[:, count:] = -torch.inf
            if barred is not None:
                scores[barred] = -torch.inf
            best.add(scores, row + low, start)
            row += queries


def _mix(counted, parts, low):
    rows = len(next(iter(parts.values())))

    def of_rows(value):
        return value[low : low + rows] if isinstance(value, torch.Tensor) and len(value) > 1 else value

    return sum(of_rows(value) * parts[name] for name, value in counted.items())


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
    size = block_rows(dims, len(rows), len(rows), k, limits)
    best = TopK(len(rows), min(k, len(gallery)), device, floor=0.0)
    # One buffer for all products: made and freed between the small lists that are kept, they would scatter the heap.
    room = torch.empty(min(TILE, len(rows)) * max(TILE, min(size, FIRST)), device=device)
    for start, columns in _columns(gallery, size, device):
        for low in range(0, len(rows), TILE):
            part = rows[low : low + TILE]
            product = room[: len(part) * len(columns)].view(len(part), len(columns))
            # Padding scores 0, which is never above the floor.
            best.add(torch.mm(part, columns.T, out=product).neg_(), low, start)
        best.settle()
    best.merge()
    return best.scores.double().sum(1).float().view(queries, captions).cpu()


def block_rows(dims, rows, lists, k, limits) -> int:
    """Gallery rows per block so that everything stays within ``memory_mb``; at most ``block``.

    rows: of all query-side tensors; lists: how many lists are kept.
    """
    block, memory_mb = limits.get("block", BLOCK), limits.get("memory_mb", MEMORY_MB)
    fixed = OVERHEAD + 12 * dims * rows + 64 * lists * k
    each = 4 * (3 * dims + 6 * TILE)
    fit = ((memory_mb << 20) - fixed) // each
    if fit < LANES:
        needed = (fixed + LANES * each >> 20) + 1
        raise InputError(f"is {memory_mb}, this needs {needed}", field="memory_mb", remedy="Raise the memory bound.")
    return int(max(LANES, min(block, fit) // LANES * LANES))
