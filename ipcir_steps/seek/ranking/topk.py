"""Running top-k of many rows at once, exact, with ties in gallery order."""

import torch

PENDING = 1 << 21  # candidates held before they are merged
GROUP = 16  # columns whose maximum is compared first
MERGED = 1 << 21  # entries sorted at once in a merge


class TopK:
    """The k largest scores of each row, seen tile by tile.

    A tile costs one pass for the maximum of each group of columns; only groups that beat the row's k-th best are looked
    at closer. scores float32 [rows, k] in falling order, indices int64 [rows, k]; -inf and -1 where nothing was seen.
    floor: scores not above it are never kept.
    """

    def __init__(self, rows: int, k: int, device="cpu", floor: float = -torch.inf):
        self.scores = torch.full((rows, k), floor, device=device)
        self.indices = torch.full((rows, k), -1, dtype=torch.int64, device=device)
        self._bar = self.scores[:, -1:].clone()
        self._pending: list[tuple[torch.Tensor, ...]] = []
        self._count = 0
        self._filled = False
        self._seen: set[int] = set()

    def add(self, tile: torch.Tensor, row: int, column: int) -> None:
        """Offer ``tile`` [r, c] (c a multiple of 16), the scores of rows ``row``… for gallery rows ``column``…"""
        rows, columns = tile.shape
        bar = self._bar[row : row + rows]
        if row not in self._seen and columns > self.scores.shape[1]:
            # Nothing to beat yet. Just below the k-th best, so that all its ties stay candidates.
            kth = tile.topk(self.scores.shape[1], sorted=False).values.amin(1, keepdim=True)
            bar = torch.maximum(torch.nextafter(kth, torch.full_like(kth, -torch.inf)), bar)
        self._seen.add(row)
        # Group j holds the columns j, j + n, j + 2n, …: the maximum then runs along whole vectors.
        grouped = tile.view(rows, GROUP, columns // GROUP)
        r, group = (grouped.amax(1) > bar).nonzero().unbind(1)
        near = grouped[r, :, group]
        found, member = (near > bar[r]).nonzero().unbind(1)
        r, group = r[found], group[found]
        self.offer(r + row, member * (columns // GROUP) + group + column, near[found, member])

    def offer(self, rows: torch.Tensor, indices: torch.Tensor, scores: torch.Tensor) -> None:
        """Single candidates, in any order."""
        self._pending.append((rows, indices, scores))
        self._count += len(rows)
        if self._count > PENDING:
            self.merge()

    def settle(self) -> None:
        """To be called between blocks: merges when there is enough to merge."""
        if not self._filled or self._count > 24 * len(self.scores):
            self.merge()

    def merge(self) -> None:
        """Take the candidates in; ``scores`` and ``indices`` are up to date afterwards."""
        if not self._pending:
            return
        rows, indices, scores = (torch.cat(parts) for parts in zip(*self._pending, strict=True))
        self._pending, self._count = [], 0
        self._filled = True
        order = ((rows << 40) + indices).argsort()  # by row, then in gallery order
        rows, indices, scores = rows[order], indices[order], scores[order]
        active, counts = rows.unique_consecutive(return_counts=True)
        starts = counts.cumsum(0) - counts
        wide = counts.argsort(stable=True)
        at = 0
        while at < len(wide):
            # Rows with about as many candidates go together, so that one busy row does not widen all of them.
            step = max(1, MERGED // (self.scores.shape[1] + int(counts[wide[min(at + 4095, len(wide) - 1)]])))
            part = wide[at : at + min(step, 4096)]
            self._merge(active[part], starts[part], counts[part], indices, scores)
            at += len(part)
        self._bar = self.scores[:, -1:].clone()

    def _merge(self, rows, starts, counts, indices, scores):
        offsets = torch.arange(int(counts.max()), device=rows.device)
        absent = offsets >= counts[:, None]
        place = (starts[:, None] + offsets).masked_fill_(absent, 0)
        new_scores = torch.cat([self.scores[rows], scores[place].masked_fill_(absent, -torch.inf)], 1)
        new_indices = torch.cat([self.indices[rows], indices[place].masked_fill_(absent, -1)], 1)
        kept = self.scores.shape[1]
        order = new_scores.argsort(dim=1, descending=True, stable=True)[:, :kept]
        self.scores[rows] = new_scores.gather(1, order)
        self.indices[rows] = new_indices.gather(1, order)
