"""The gallery in normalised float32 blocks, from a tensor or a memory-mapped array, in bounded memory."""

from collections.abc import Iterator

import numpy as np
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import release

LANES = 64  # blocks are padded to a multiple of this, so equal images get equal scores wherever they stand
FIRST = 4096  # rows of the first block, from which the running top-k takes its first thresholds


def unit(values: torch.Tensor, name: str, start: int = 0) -> torch.Tensor:
    """Rows divided by their L2 norm. Raises InputError naming the first row that is zero or not finite."""
    return values / norms(values, name, start)


def norms(values: torch.Tensor, name: str, start: int = 0) -> torch.Tensor:
    """L2 norms [rows, 1]; the largest entry is divided out first where squares would overflow or vanish."""
    norm = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
    odd = ~(norm.isfinite() & (norm > 1e-18)).flatten()
    if odd.any():
        largest = values[odd].abs().amax(-1, keepdim=True)
        bad = (~largest.isfinite() | (largest == 0)).flatten()
        if bad.any():
            row = int(odd.nonzero()[bad][0, 0])
            problem = "is a zero vector" if bool(largest[bad][0] == 0) else "has NaN or infinite values"
            raise InputError(problem, record=start + row, field=name)
        norm[odd] = largest * torch.linalg.vector_norm(values[odd] / largest, dim=-1, keepdim=True)
    return norm


def check(values, name: str, dims: int | None = None) -> torch.Tensor:
    """``values`` [rows, D] as a float32 tensor. Raises InputError naming a wrong shape or the first bad row."""
    values = torch.as_tensor(values)
    if values.dim() != 2 or (dims is not None and values.shape[1] != dims):
        expected = f"[rows, {dims or 'D'}]"
        raise InputError(f"has shape {list(values.shape)}, not {expected}", field=name)
    values = values.float()
    norms(values, name)
    return values


def blocks(gallery, rows: int, device="cpu", subset=None) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Yield (start, count, block): normalised rows start … start + count, zero-padded to a multiple of 64 rows.

    gallery: float [G, D], un-normalised, tensor or (memory-mapped) array, whose pages are released after each block.
    rows: most rows in a block. subset: gallery rows to read, in this order; ``start`` then counts within the subset.
    The block is one buffer that the next step overwrites. Raises InputError naming a row that is zero or not finite.
    """
    total, dims = len(gallery) if subset is None else len(subset), gallery.shape[1]
    rows = max(LANES, rows // LANES * LANES)
    buffer = torch.zeros(min(rows, -(-total // LANES) * LANES), dims, device=device)
    start, size = 0, min(FIRST, rows)
    while start < total:
        count = min(size, total - start)
        picked = slice(start, start + count) if subset is None else subset[start : start + count]
        values = gallery[picked]
        if isinstance(values, np.ndarray):
            # Copied before torch sees it: a read-only mapping cannot become a tensor.
            values = torch.from_numpy(np.array(values, np.float32))
            release(gallery)
        values = values.to(device, torch.float32)
        padded = -(-count // LANES) * LANES
        torch.div(values, norms(values, "gallery", start), out=buffer[:count])
        buffer[count:padded] = 0
        yield start, count, buffer[:padded]
        start, size = start + count, rows
