"""Proxies that change owners: as many as asked for, the same ones every time, whatever the order of the queries."""

import dataclasses

import numpy as np
import pytest

from dev.benchmarks.worlds import WORLDS, Mixture, mixed
from ipcir_steps.core.features import Features


@pytest.fixture
def features() -> dict[str, Features]:
    draw, ids = np.random.default_rng(0), tuple(f"q{number}" for number in range(200))
    shapes = {"proxies": (200, 5, 8), "target": (200, 3, 8)}
    return {name: Features(draw.standard_normal(shape).astype(np.float32), ids) for name, shape in shapes.items()}


def changed(features, mixture: Mixture) -> np.ndarray:
    """Which proxies are another query's, bool [Q, N]."""
    found = mixed(features, mixture)
    assert found["target"] is features["target"] and found["proxies"].names == features["proxies"].names
    return (found["proxies"].values != features["proxies"].values).any(-1)


def test_as_many_are_wrong_as_the_world_says(features):
    wrong = {name: changed(features, mixture) for name, mixture in WORLDS.items()}
    assert not wrong["as drawn"].any() and wrong["100 % wrong"].all() and wrong["100 % near misses"].all()
    assert (wrong["2 of 5 wrong"].sum(1) == 2).all() and (wrong["4 of 5 wrong"].sum(1) == 4).all()
    assert 0.4 < wrong["50 % wrong"].mean() < 0.6
    # A higher rate has the wrong ones of a lower one, too.
    assert (wrong["25 % wrong"] <= wrong["50 % wrong"]).all() and 0.15 < wrong["25 % wrong"].mean() < 0.35


@pytest.mark.parametrize("mixture", [WORLDS["50 % wrong"], WORLDS["2 of 5 wrong"], WORLDS["50 % near misses"]])
def test_the_order_of_the_queries_does_not_matter(features, mixture):
    turned = {
        name: dataclasses.replace(one, values=one.values[::-1], names=one.names[::-1]) for name, one in features.items()
    }
    one, other = (mixed(part, mixture)["proxies"].values for part in (features, turned))
    assert np.array_equal(one, other[::-1])


def test_a_near_miss_is_drawn_for_a_similar_request(features):
    def likeness(world):
        owners = {row.tobytes(): number for number, row in enumerate(features["proxies"].values)}
        got = [owners[row.tobytes()] for row in mixed(features, WORLDS[world])["proxies"].values]
        unit = features["target"].values / np.linalg.norm(features["target"].values, axis=-1, keepdims=True)
        means = unit.mean(1) / np.linalg.norm(unit.mean(1), axis=-1, keepdims=True)
        return float((means * means[got]).sum(1).mean())

    assert likeness("100 % near misses") > 0.6 and abs(likeness("100 % wrong")) < 0.2
