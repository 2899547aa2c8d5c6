"""The percentile bootstrap over queries: how sure is a mean, and is the difference of two methods more than chance?

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from collections.abc import Callable, Hashable, Sequence

import numpy as np

ROWS = 256  # resamples drawn at once


def paired_interval(
    base: np.ndarray, other: np.ndarray, strata: np.ndarray, *, seed: int, resamples: int = 2000, level: float = 0.95,
    clusters: Sequence[Hashable] | None = None,
) -> tuple[float, float, float]:  # fmt: skip
    """(difference, low, high) of the mean of ``other - base``.

    base, other: float [Q], values of the same queries. strata: int [Q]; queries are resampled within their
    stratum and the means of the strata are averaged (FashionIQ's mean over categories; one stratum elsewhere).
    clusters: what each query belongs to, such as the request that it is a wording of. The queries of a cluster are
    drawn together, because they are not independent (Davison and Hinkley, Bootstrap Methods, 1997, section 3.8); None,
    or clusters of one query each: every query by itself.
    """
    difference = np.asarray(other, float) - np.asarray(base, float)
    generator = np.random.default_rng(seed)
    parts = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    groups = [difference[part] for part in parts]
    sizes = None
    if clusters is not None and len(set(clusters)) < len(clusters):
        groups, sizes = zip(*(_by_cluster(difference, part, clusters) for part in parts), strict=True)
    low, high = bootstrap(groups, lambda rows, n: generator.integers(n, size=(rows, n)), resamples, level, sizes)
    return float(np.mean([difference[part].mean() for part in parts])), low, high


def _by_cluster(values: np.ndarray, part: np.ndarray, clusters: Sequence[Hashable]) -> tuple[np.ndarray, np.ndarray]:
    """(sum, number) of the values of each cluster of a part, float64, in the order in which clusters first appear."""
    found: dict[Hashable, list[float]] = {}
    for row in part.tolist():
        found.setdefault(clusters[row], []).append(values[row])
    return np.array([sum(some) for some in found.values()]), np.array([float(len(some)) for some in found.values()])


def interval(
    values: Sequence[float], *, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """(low, high) of the mean of per-query values, all in one stratum. Drawn by torch, as the sweeps always were."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    group = torch.tensor(list(values), dtype=torch.float64)
    return bootstrap([group], lambda rows, n: torch.randint(n, (rows, n), generator=generator), resamples, level)


def bootstrap(
    groups: Sequence, draw: Callable[[int, int], object], resamples: int, level: float, sizes: Sequence | None = None
) -> tuple[float, float]:
    """(low, high) of the mean of the groups' means, each group resampled with replacement.

    groups: float64 arrays or tensors [n]; draw(rows, n): indices int64 [rows, n] below n, of the same kind.
    sizes: of each group float64 [n], how many values each entry is the sum of; None: one.
    """
    means = np.zeros(resamples)
    for number, group in enumerate(groups):
        for start in range(0, resamples, ROWS):
            rows = min(ROWS, resamples - start)
            drawn = draw(rows, len(group))
            found = group[drawn].mean(1) if sizes is None else group[drawn].sum(1) / sizes[number][drawn].sum(1)
            means[start : start + rows] += np.asarray(found)
    tail = (1 - level) / 2
    low, high = np.quantile(means / len(groups), [tail, 1 - tail])
    return float(low), float(high)
