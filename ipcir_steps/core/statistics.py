"""The percentile bootstrap over queries: how sure is a mean, and is the difference of two methods more than chance?

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from collections.abc import Callable, Sequence

import numpy as np

ROWS = 256  # resamples drawn at once


def paired_interval(
    base: np.ndarray, other: np.ndarray, strata: np.ndarray, *, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float, float]:
    """(difference, low, high) of the mean of ``other - base``.

    base, other: float [Q], values of the same queries. strata: int [Q]; queries are resampled within their
    stratum and the means of the strata are averaged (FashionIQ's mean over categories; one stratum elsewhere).
    """
    difference = np.asarray(other, float) - np.asarray(base, float)
    generator = np.random.default_rng(seed)
    groups = [difference[strata == stratum] for stratum in np.unique(strata)]
    low, high = bootstrap(groups, lambda rows, n: generator.integers(n, size=(rows, n)), resamples, level)
    return float(np.mean([group.mean() for group in groups])), low, high


def interval(
    values: Sequence[float], *, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """(low, high) of the mean of per-query values, all in one stratum. Drawn by torch, as the sweeps always were."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    group = torch.tensor(list(values), dtype=torch.float64)
    return bootstrap([group], lambda rows, n: torch.randint(n, (rows, n), generator=generator), resamples, level)


def bootstrap(
    groups: Sequence, draw: Callable[[int, int], object], resamples: int, level: float
) -> tuple[float, float]:
    """(low, high) of the mean of the groups' means, each group resampled with replacement.

    groups: float64 arrays or tensors [n]; draw(rows, n): indices int64 [rows, n] below n, of the same kind.
    """
    means = np.zeros(resamples)
    for group in groups:
        for start in range(0, resamples, ROWS):
            rows = min(ROWS, resamples - start)
            means[start : start + rows] += np.asarray(group[draw(rows, len(group))].mean(1))
    tail = (1 - level) / 2
    low, high = np.quantile(means / len(groups), [tail, 1 - tail])
    return float(low), float(high)
