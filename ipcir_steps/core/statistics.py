"""Paired bootstrap: is the difference of two methods on the same queries more than chance?"""

import numpy as np


def paired_interval(
    base: np.ndarray, other: np.ndarray, strata: np.ndarray, *, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float, float]:
    """(difference, low, high) of the mean of ``other - base``, by the percentile bootstrap over queries.

    base, other: float [Q], values of the same queries. strata: int [Q]; queries are resampled within their
    stratum and the means of the strata are averaged (FashionIQ's mean over categories; one stratum elsewhere).
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    difference = np.asarray(other, float) - np.asarray(base, float)
    generator = np.random.default_rng(seed)
    groups = [difference[strata == stratum] for stratum in np.unique(strata)]
    means = np.zeros(resamples)
    for group in groups:
        for start in range(0, resamples, 256):
            rows = min(256, resamples - start)
            means[start : start + rows] += group[generator.integers(len(group), size=(rows, len(group)))].mean(1)
    tail = (1 - level) / 2
    low, high = np.quantile(means / len(groups), [tail, 1 - tail])
    return float(np.mean([group.mean() for group in groups])), float(low), float(high)
