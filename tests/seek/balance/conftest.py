"""A world of features in which some proxies are another query's."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from ipcir_steps.core.features import Features
from ipcir_steps.core.records import Query
from ipcir_steps.seek.ranking.inputs import RetrievalInputs


@dataclasses.dataclass(frozen=True)
class World:
    """60 queries over 300 images; the target of query n is image n. wrong: which proxies are another's, bool [Q, N]."""

    inputs: RetrievalInputs
    features: dict[str, Features]
    wrong: np.ndarray


@pytest.fixture
def world() -> Callable[..., World]:
    def make(wrong=(), text=0.6, proxy=0.6, captions=0.6, queries=60, count=5, dims=24) -> World:
        """wrong: pairs (rows, numbers) of the proxies that get another query's; the others are noises of the views."""
        import torch

        draw = np.random.default_rng(5)
        ids = tuple(f"q{number}" for number in range(queries))
        # Images share a direction, as CLIP's do, so similarities are positive.
        gallery = draw.standard_normal((300, dims)).astype(np.float32) + 1.5

        def near(noise, *middle):
            right = gallery[:queries].reshape(queries, *(1 for _ in middle), dims)
            return (right + noise * draw.standard_normal((queries, *middle, dims))).astype(np.float32)

        proxies, gone = near(proxy, count), np.zeros((queries, count), bool)
        for rows, numbers in wrong:
            gone[np.ix_(list(rows), list(numbers))] = True
        proxies[gone] = np.roll(near(proxy, count), 1, 0)[gone]
        values = {"references": near(2.0), "proxies": proxies, "target": near(captions, 4), "source": near(3.0, 4)}
        inputs = RetrievalInputs(
            queries=[Query(query_id, "r", ("c",)) for query_id in ids], names=[f"i{n}" for n in range(300)],
            text=torch.from_numpy(near(text)), gallery=torch.from_numpy(gallery),
        )  # fmt: skip
        return World(inputs, {name: Features(rows, ids) for name, rows in values.items()}, gone)

    return make
