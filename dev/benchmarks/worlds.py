"""Finished runs of the mini evaluation with wrong proxies mixed in at known rates, by a hash of run seed and query.

Nothing is drawn again: proxies change owners among the features, so any finished run can be made worse.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ipcir_steps.core import paths
from ipcir_steps.core.features import Features, align, load_features
from ipcir_steps.core.files import seed
from ipcir_steps.evaluate.tuning.sweep import PARTS
from ipcir_steps.seek.fusion.recipes import other_queries
from ipcir_steps.seek.ranking.inputs import RetrievalInputs, load_retrieval

NEAR = 5  # how many queries ask for something more like it than the one whose proxies a near miss has


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Which proxies are another query's: those of a share of the queries (``queries``), of these so many of each
    (``proxies``; None: all). near: of a query with similar target captions, as a layout that is wrong in a detail."""

    queries: float = 0.0
    proxies: int | None = None
    near: bool = False


WORLDS = {
    "as drawn": Mixture(),
    "25 % wrong": Mixture(0.25),
    "50 % wrong": Mixture(0.5),
    "100 % wrong": Mixture(1.0),
    "2 of 5 wrong": Mixture(1.0, 2),
    "4 of 5 wrong": Mixture(1.0, 4),
    "50 % near misses": Mixture(0.5, None, True),
    "100 % near misses": Mixture(1.0, None, True),
}


def mixed(features: Mapping[str, Features], mixture: Mixture, run_seed: int = 0) -> dict[str, Features]:
    """The features with other queries' proxies among them. features: "proxies" [Q, N, D], "target" [Q, K, D], …"""
    proxies = features["proxies"]
    ids, values = list(proxies.names), np.array(proxies.values)
    givers = _near(features["target"], ids) if mixture.near else other_queries(ids, seed(run_seed, "mixture"))
    for row, query_id in enumerate(ids):
        if seed(run_seed, "mixed", query_id) / 2**63 >= mixture.queries:
            continue
        order = sorted(range(values.shape[1]), key=lambda number: seed(run_seed, "mixed", query_id, number))
        wrong = order[: mixture.proxies]
        values[row, wrong] = proxies.values[givers[row], wrong]
    return {**features, "proxies": dataclasses.replace(proxies, values=values)}


def _near(captions: Features, ids: list[str]) -> list[int]:
    values = np.array(captions.values[align(captions, ids)])
    means = (values / np.linalg.norm(values, axis=-1, keepdims=True)).mean(1)
    means /= np.linalg.norm(means, axis=-1, keepdims=True)
    alike = means @ means.T
    np.fill_diagonal(alike, np.inf)
    return np.argsort(-alike, axis=1, kind="stable")[:, min(NEAR, len(ids) - 1)].tolist()


def rows_of(features: Features, found: RetrievalInputs) -> torch.Tensor:
    """The features of the queries, in their order: a copy, [Q, …]."""
    return torch.from_numpy(features.values[align(features, [query.query_id for query in found.queries])])


def load(directory: Path, dataset: str, baseline: str) -> tuple[RetrievalInputs, dict[str, Features]]:
    """Text side and gallery of one baseline on one world, and what its proxies are made of."""

    def path(template: str, **more) -> Path:
        place = {"dataset": dataset, "split": "val", "backbone": "mini", "baseline": baseline}
        return directory / template.format(**place, **more)

    found = load_retrieval(
        text=path(paths.TEXT), gallery=path(paths.GALLERY_FEATURES), queries=path(paths.QUERIES),
        gallery_images=path(paths.GALLERY),
    )  # fmt: skip
    return found, {name.removesuffix("_captions"): load_features(path(paths.FEATURES, features=name)) for name in PARTS}
