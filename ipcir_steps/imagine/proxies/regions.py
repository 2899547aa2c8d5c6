"""Where the instances are: masks of boxes on the latent grid and on the coarser grids of the U-Net."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def box_masks(boxes: Sequence[Sequence[float]], height: int, width: int) -> Tensor:
    """Binary masks [n, height, width] of boxes x1, y1, x2, y2 in [0, 1]; edges truncate to whole pixels."""
    masks = torch.zeros(len(boxes), height, width)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(height * y1) : int(height * y2), int(width * x1) : int(width * x2)] = 1
    return masks


def grid_of(tokens: int, height: int, width: int) -> tuple[int, int]:
    """Height and width of the U-Net level that has ``tokens`` positions; height, width: those of the latents."""
    while height * width > tokens:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != tokens:
        raise ValueError(f"no level of the U-Net has {tokens} positions")
    return height, width


def window_of(mask: Tensor) -> tuple[int, int, int, int]:
    """Rectangle (top, bottom, left, right; ends excluded) of the non-zero part of a mask [height, width]."""
    rows, columns = (mask != 0).any(1).nonzero(), (mask != 0).any(0).nonzero()
    if len(rows) == 0:
        return 0, 0, 0, 0
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


class Regions:
    """Instance masks at every level, each computed once.

    masks: [n, height, width] in image pixels, values in [0, 1]. They go bilinearly to the latent grid
    (pixels / factor) and bilinearly from there to a level, as in the published code. supplement: 1 - union.
    """

    def __init__(self, masks: Tensor, device="cpu", dtype=torch.float32, factor: int = 8):
        supplement = 1 - masks.sum(0, keepdim=True).clamp(max=1)
        size = (masks.shape[1] // factor, masks.shape[2] // factor)
        stacked = torch.cat([masks, supplement])[None].to(device=device, dtype=dtype)
        self.latent = F.interpolate(stacked, size=size, mode="bilinear")
        self._levels: dict[int, Level] = {}

    def level(self, tokens: int) -> "Level":
        if tokens not in self._levels:
            grid = grid_of(tokens, *self.latent.shape[-2:])
            maps = F.interpolate(self.latent, size=grid, mode="bilinear")[0].flatten(1)
            self._levels[tokens] = Level(maps[:-1], maps[-1:], grid)
        return self._levels[tokens]


class Level:
    """Masks of one level: instances [n, tokens], supplement [1, tokens], grid (height, width).

    fuser: weights [n+1, tokens] of the naive fuser, a_j / (sum_j a_j + 1e-6) with a_0 = 1 and a_i = 10 m_i.
    windows: per instance the rectangle (top, bottom, left, right) of its mask. Outside of it nothing of the instance
    counts, so nothing of it needs to be computed there. Empty (0, 0, 0, 0) when the mask vanishes on this grid.
    shared: [tokens, tokens], true where two positions share an instance or the supplement.
    """

    def __init__(self, instances: Tensor, supplement: Tensor, grid: tuple[int, int]):
        self.instances, self.supplement, self.grid = instances, supplement, grid
        weights = torch.cat([torch.ones_like(supplement), instances * 10])
        self.fuser = weights / (weights.sum(0) + 1e-6)
        self.windows = [window_of(mask) for mask in instances.unflatten(1, grid).cpu()]
        self._shared: Tensor | None = None

    @property
    def shared(self) -> Tensor:
        if self._shared is None:
            maps = torch.cat([self.instances, self.supplement])
            self._shared = (maps.T @ maps) > 0
        return self._shared
