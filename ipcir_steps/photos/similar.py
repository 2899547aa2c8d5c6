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

from ipcir_steps.photos.gallery import HALF, Gallery
from ipcir_steps.seek.ranking.blocks import unit
from ipcir_steps.seek.ranking.streaming import Balance, scan

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
        self._kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, vectors: torch.Tensor) -> list[torch.Tensor]:
        """float32 [lines] of each of ``vectors`` [n, D], approximate; new ones take one product together."""
        keys = [vector.numpy().tobytes() for vector in vectors]
        with self._lock:
            found = {key: self._kept[key] for key in keys if key in self._kept}
            for key in found:
                self._kept.move_to_end(key)
        new = [row for row, key in enumerate(keys) if key not in found]
        if new:
            products = self.gallery.similarities(vectors[new])
            with self._lock:
                for row, product in zip(new, products, strict=True):
                    found[keys[row]] = self._kept[keys[row]] = product.clone()
                size = max(1, self.gallery.order.numel() * 4)
                while len(self._kept) > max(16, self._room // size):
                    self._kept.popitem(last=False)
        return [found[key] for key in keys]


def rank(
    similar: Similarities,
    text: torch.Tensor,
    proxy: Proxy | None,
    lam: float,
    k: int,
    allowed: torch.Tensor | None = None,
) -> list[Hit]:
    """The k best photos by eq. 2 with S_t of ``text`` [D] and S_p of ``proxy``; by S_t alone without one.

    allowed: bool [lines], photos that may be listed. The list is that of ``ipcir ranking`` on the features of the
    allowed photos in the order of their names.
    """
    gallery = similar.gallery
    rough, bound = _rough(similar, text, proxy, lam)
    rough = rough.masked_fill(gallery.order < 0, -torch.inf)
    if allowed is not None:
        rough.masked_fill_(~allowed, -torch.inf)
    k = min(k, int((rough > -torch.inf).sum()))
    if k == 0:
        return []
    bar = rough.topk(k, sorted=False).values.min() - 2 * bound
    hits, error = _exact(gallery, (rough >= bar).nonzero().flatten(), rough, text, proxy, lam, k)
    if error > bound:  # the product was not as good as its bound: rank everything
        hits, _ = _exact(gallery, (rough > -torch.inf).nonzero().flatten(), rough, text, proxy, lam, k)
    return hits


def _rough(similar: Similarities, text, proxy, lam) -> tuple[torch.Tensor, float]:
    """Approximate scores [lines], and how far they are at most from the exact ones."""
    error = HALF * float(text.norm())
    if proxy is None:
        return similar.of(text[None])[0].clone(), error
    s_t, *parts = similar.of(torch.cat([text[None], proxy.parts]))
    s_p = torch.zeros_like(s_t)
    for factor, part in zip(proxy.factors.tolist(), parts, strict=True):
        if factor:
            s_p.add_(part, alpha=factor)
    # No similarity is larger than the norm of its vector.
    error_p = HALF * float(proxy.factors.abs() @ proxy.parts.norm(dim=1))
    largest_t, largest_p = float(text.norm()), float(proxy.vector.norm())
    mixed = largest_t * error_p + largest_p * error + error * error_p
    return torch.lerp(s_t * s_p, s_t, lam), lam * error + (1 - lam) * mixed


def _exact(gallery: Gallery, lines, rough, text, proxy, lam, k) -> tuple[list[Hit], float]:
    """The k best of ``lines`` by exact scores, ties in the order of names; the largest error of the rough ones."""
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
