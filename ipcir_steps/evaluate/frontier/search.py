"""The search that every setting of a frontier shares, and the metric that decides of its lists."""

import argparse
import dataclasses
from collections.abc import Sequence

import numpy as np

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.config.retrieval import Fusion, Ranking
from ipcir_steps.core.files import seed
from ipcir_steps.core.rankings import names_by_place, ranked
from ipcir_steps.core.records import Query, read_queries
from ipcir_steps.core.statistics import paired_interval
from ipcir_steps.evaluate.paraphrases import cluster_of
from ipcir_steps.evaluate.tuning.choose import without_groups
from ipcir_steps.seek.stopping import search
from ipcir_steps.seek.stopping.search import Lists


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search(search.Search):
    """queries: all of the benchmark, those without a list too, which count as not found."""

    queries: Sequence[Query]
    benchmark: Benchmark
    resamples: int

    @property
    def key(self) -> str:
        """The metric that decides."""
        return self.benchmark.tuned_by

    def scores(self, lists: Lists) -> tuple[float, np.ndarray]:
        """(the metric that decides, its value of each query [Q])."""
        named = {
            query_id: names_by_place([(place, name) for place, name, _ in ranked(entries)])
            for query_id, entries in lists.items()
        }
        values = self.benchmark.per_query(named, self.queries)
        each = np.array([values[query.query_id][self.key] for query in self.queries])
        return self.benchmark.total(named, self.queries)[self.key], each

    def difference(self, base: np.ndarray, other: np.ndarray) -> dict[str, float]:
        """{"value", "low", "high"} of the mean of ``other - base``: 95 % paired bootstrap, within categories."""
        categories = [query.category or "" for query in self.queries]
        strata = np.unique(categories, return_inverse=True)[1]
        drawn = seed(self.seed, "frontier", self.key)
        clusters = [cluster_of(query) for query in self.queries]
        told = {"seed": drawn, "resamples": self.resamples, "clusters": clusters}
        value, low, high = paired_interval(base, other, strata, **told)
        return {"value": value, "low": low, "high": high}


def read(args: argparse.Namespace, lams, fusion: Fusion, ranking: Ranking) -> Search:
    """From the options of ``ipcir frontier``."""
    benchmark = BENCHMARKS[args.benchmark]
    return search.read(
        args, lams, fusion, ranking, Search, seed=args.seed, whole=benchmark.whole, benchmark=benchmark,
        queries=without_groups(read_queries(args.queries)), resamples=args.resamples,
    )  # fmt: skip
