"""Ranked lists at the speed of a slider.

Eq. 1 is linear in its parts, so the similarities of all photos to each part are kept, from a product in float16; what a
slider changes is elementwise work on them. It gives a list within known bounds; whatever could stand in the exact list
is then ranked by the workflow's own ``scan`` on the exact features.
"""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch

from ipcir_steps.photos.gallery import Gallery, Products
from ipcir_steps.seek.ranking.blocks import unit
from ipcir_steps.seek.ranking.streaming import Balance, scan

GROUP = 16  # photos whose best score is looked at first
ALIKE = 0.97, 6  # least cosine and most differing bits of the fingerprints of near-duplicates


@dataclasses.dataclass(frozen=True)
class Hit:
    """A photo of a list. proxy_score: None where no proxy took part. near: lines of near-duplicates shown under it."""

    line: int
    score: float
    text_score: float
    proxy_score: float | None
    near: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Proxy:
    """f_RP as the sum of parts [n, D], each times its factor [n]: eq. 1 before it is summed."""

    parts: torch.Tensor
    factors: torch.Tensor

    @property
    def vector(self) -> torch.Tensor:
        """[D]."""
        return self.factors @ self.parts


class Similarities:
    """Products of vectors with a gallery, the latest ones kept, at most ``megabytes`` of them. For any thread."""

    def __init__(self, gallery: Gallery, megabytes: int = 512):
        self.gallery, self._room = gallery, megabytes << 20
        self._kept: OrderedDict[bytes, Products] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, vectors: torch.Tensor) -> Products:
        """Of ``vectors`` [n, D] together; a few of them cost hardly more than one."""
        key = vectors.contiguous().numpy().tobytes()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = self.gallery.similarities(vectors)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > 2 and sum(p.values.nbytes for p in self._kept.values()) > self._room:
                self._kept.popitem(last=False)
        return found


def rank(
    similar: Similarities,
    text: torch.Tensor,
    proxy: Proxy | None,
    lam: float,
    k: int,
    allowed: torch.Tensor | None = None,
    hidden: Sequence[int] = (),
) -> list[Hit]:
    """The k best photos by eq. 2 with S_t of ``text`` [D] and S_p of ``proxy``; by S_t alone without one.

    allowed: bool [lines], photos that may be listed (None: all); hidden: lines that may not. It is the list of ``ipcir
    ranking`` on the features of these photos, in the order of their names.
    """
    gallery = similar.gallery
    lines = len(gallery.order)
    # Room for whole groups, see ``_near``.
    padded = torch.full((-(-lines // GROUP) * GROUP,), -torch.inf)
    rough = padded[:lines]
    bound = _rough(similar, text, proxy, lam, rough)
    rough[gallery.gone] = -torch.inf
    rough[list(hidden)] = -torch.inf
    if allowed is not None:
        rough.masked_fill_(~allowed, -torch.inf)
    near = _near(padded, k, bound)
    hits, error = _exact(gallery, near, rough, text, proxy, lam, k)
    if error > bound:  # the product was not as good as its bound: rank everything
        hits, _ = _exact(gallery, (rough > -torch.inf).nonzero().flatten(), rough, text, proxy, lam, k)
    return hits


def _rough(similar: Similarities, text, proxy, lam, out: torch.Tensor) -> float:
    """Approximate scores into ``out`` [lines]; how far they are at most from the exact ones."""
    of_text = similar.of(text[None])
    s_t, error, largest = of_text.values[0], float(of_text.errors), float(of_text.largest)
    if proxy is None:
        out.copy_(s_t)
        return error
    parts, sizes = similar.of(proxy.parts), proxy.factors.abs()
    error_p, largest_p = float(sizes @ parts.errors), float(sizes @ parts.largest)
    # lambda S_t + (1 - lambda) S_t S_p
    torch.mv(parts.values.T, proxy.factors, out=out)
    out.mul_(1 - lam).add_(lam).mul_(s_t)
    mixed = largest * error_p + largest_p * error + error * error_p
    return lam * error + (1 - lam) * mixed + 1e-6 * largest * (1 + largest_p)


def _near(padded: torch.Tensor, k: int, bound: float) -> torch.Tensor:
    """Lines that may be among the k best, given that scores are off by ``bound`` at most; -inf never is.

    The k-th largest maximum of groups is no larger than the k-th largest score, and far quicker to find.
    """
    groups = padded.view(GROUP, -1)
    best = groups.amax(0)
    bar = best.topk(min(k, len(best)), sorted=False).values.amin() - 2 * bound if k <= len(best) else -torch.inf
    columns = ((best >= bar) & (best > -torch.inf)).nonzero().flatten()
    members = groups[:, columns]
    row, column = ((members >= bar) & (members > -torch.inf)).nonzero().unbind(1)
    return row * groups.shape[1] + columns[column]


def _exact(gallery: Gallery, lines, rough, text, proxy, lam, k) -> tuple[list[Hit], float]:
    """The k best of ``lines`` by exact scores, ties in the order of names; the largest error of the rough ones."""
    k = min(k, len(lines))
    if k == 0:
        return [], 0.0
    lines = lines[gallery.order[lines].argsort()]
    values = gallery.exact(lines)
    balance = Balance(None if proxy is None else "proxy", (lam,))
    parts = None if proxy is None else {"proxy": proxy.vector[None]}
    ((indices, scores),) = scan(text[None], values, [balance], parts, k)
    rows, scores = indices[0, 0], scores[0, 0]
    chosen = unit(values[rows], "gallery")
    s_t = scores.tolist() if proxy is None else (chosen @ text).tolist()
    s_p = [None] * k if proxy is None else (chosen @ proxy.vector).tolist()
    found = lines[rows]
    hits = [Hit(*values) for values in zip(found.tolist(), scores.tolist(), s_t, s_p, strict=True)]
    return hits, float((rough[found] - scores).abs().max())


def collapse(gallery: Gallery, hits: Sequence[Hit], k: int) -> list[Hit]:
    """The first k that are no near-duplicates of one before them, each with those that follow it."""
    kept: list[Hit] = []
    near: list[list[int]] = []
    features = unit(gallery.exact(torch.tensor([hit.line for hit in hits], dtype=torch.int64)), "gallery")
    rows: list[int] = []
    for row, hit in enumerate(hits):
        alike = (features[rows] @ features[row] >= ALIKE[0]).nonzero().flatten().tolist() if rows else []
        bits = gallery.photo(hit.line).fingerprint
        twin = next((n for n in alike if _differing(gallery.photo(kept[n].line).fingerprint, bits) <= ALIKE[1]), None)
        if twin is not None:
            near[twin].append(hit.line)
        elif len(kept) < k:
            kept.append(hit)
            near.append([])
            rows.append(row)
    return [dataclasses.replace(hit, near=tuple(lines)) for hit, lines in zip(kept, near, strict=True)]


def _differing(a: int, b: int) -> int:
    return ((a ^ b) & (1 << 64) - 1).bit_count()
