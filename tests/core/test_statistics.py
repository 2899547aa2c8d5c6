"""The bootstrap: it covers what it should, resamples within strata, and always draws the same."""

import numpy as np
import pytest

from ipcir_steps.core.statistics import bootstrap, interval, paired_interval

DRAW = np.random.default_rng(0)


BASE, OTHER = DRAW.random(400), DRAW.random(400) + 0.1


ONE = np.zeros(400, int)


def test_interval_has_the_width_of_the_normal_approximation():
    values = DRAW.normal(3, 1, 400)
    low, high = interval(values)
    assert low < values.mean() < high and high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert interval(values, seed=1) != (low, high) == interval(values)


def test_paired_interval_has_the_width_of_the_normal_approximation():
    difference, low, high = paired_interval(BASE, OTHER, ONE, seed=1)
    spread = (OTHER - BASE).std() / 20
    assert difference == pytest.approx((OTHER - BASE).mean()) and low < difference < high
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.1)
    assert paired_interval(BASE, OTHER, ONE, seed=1) == (difference, low, high)


def test_strata_weigh_the_same_and_are_resampled_apart():
    """A stratum of 300 zeros and one of 100 ones: the mean of means is 1/2, and no resample can change it."""
    strata = np.array([0] * 300 + [1] * 100)
    assert paired_interval(np.zeros(400), strata.astype(float), strata, seed=0) == (0.5, 0.5, 0.5)
    _, low, high = paired_interval(np.zeros(400), strata.astype(float), ONE, seed=0)
    assert low < 0.25 < high


def test_a_level_takes_what_it_says_off_both_ends():
    draws = iter(np.arange(1000))
    low, high = bootstrap(
        [np.arange(1000.0)], lambda rows, n: np.array([[next(draws)] for _ in range(rows)]), 1000, 0.9
    )
    assert (low, high) == (pytest.approx(49.95), pytest.approx(949.05))


@pytest.mark.parametrize("resamples", [1, 255, 256, 257, 1000])
def test_resamples_in_parts_are_those_of_one_draw(resamples):
    """Drawn in blocks, the rows are those that one call would draw: results do not depend on the block."""
    picked = np.random.default_rng(5).integers(400, size=(resamples, 400))
    means = BASE[picked].mean(1)
    expected = np.quantile(means, [0.025, 0.975])
    assert paired_interval(np.zeros(400), BASE, ONE, seed=5, resamples=resamples)[1:] == pytest.approx(tuple(expected))


def test_interval_matches_the_normal_approximation():
    generator = np.random.default_rng(1)
    base, other = generator.standard_normal((2, 2000))
    value, low, high = paired_interval(base, other + 0.2, np.zeros(2000), seed=0, resamples=4000)
    error = (other - base).std() / np.sqrt(2000)
    assert value == pytest.approx((other - base).mean() + 0.2)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.08)


def test_identical_methods_have_no_interval():
    values = np.random.default_rng(0).random(50)
    assert paired_interval(values, values, np.zeros(50), seed=0) == (0, 0, 0)


def test_strata_count_alike_whatever_their_size():
    base, strata = np.zeros(110), np.array([0] * 100 + [1] * 10)
    other = np.where(strata == 1, 1.0, 0.0)
    assert paired_interval(base, other, strata, seed=0) == (0.5, 0.5, 0.5)


# What these calls gave before clusters were known.
BEFORE = (
    (0.07312375796449333, 0.033398552553125904, 0.11284842545370015),
    (0.08759056819995202, 0.04222294564537276, 0.13509840300865375),
)


def test_clusters_of_one_change_no_bit():
    strata = np.array([0] * 300 + [1] * 100)
    for numbers, before in zip((ONE, strata), BEFORE, strict=True):
        for clusters in (None, list(range(400)), [f"q{n}" for n in range(400)]):
            assert paired_interval(BASE, OTHER, numbers, seed=1, clusters=clusters) == before


def test_copies_of_a_query_are_no_more_evidence_than_one():
    """Every query in four wordings with the same values: the interval is that of the queries, not half as wide."""
    once = paired_interval(BASE, OTHER, ONE, seed=1)
    base, other, strata = (np.repeat(values, 4) for values in (BASE, OTHER, ONE))
    apart = paired_interval(base, other, strata, seed=1)
    together = paired_interval(base, other, strata, seed=1, clusters=np.repeat(np.arange(400), 4).tolist())
    assert together == pytest.approx(once, abs=1e-12)
    assert (apart[2] - apart[1]) == pytest.approx((once[2] - once[1]) / 2, rel=0.1)


def test_clusters_of_any_size_keep_the_mean_over_queries():
    values = np.array([0.0, 0.0, 0.0, 1.0])
    found = paired_interval(np.zeros(4), values, np.zeros(4, int), seed=0, clusters=["a", "a", "a", "b"])
    assert found == (0.25, 0.0, 1.0)
