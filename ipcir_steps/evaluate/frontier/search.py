"""The search that every setting of a frontier shares: text side, gallery, references, captions; only proxies differ."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.config.retrieval import Fusion, Ranking
from ipcir_steps.core.features import Features, align
from ipcir_steps.core.files import seed
from ipcir_steps.core.rankings import names_by_place, ranked
from ipcir_steps.core.records import Query, read_queries
from ipcir_steps.core.statistics import paired_interval
from ipcir_steps.evaluate.paraphrases import cluster_of
from ipcir_steps.evaluate.tuning.choose import without_groups
from ipcir_steps.seek.ranking.inputs import RetrievalInputs, from_args
from ipcir_steps.variants import METHOD, NO_PROXY, UNDRAWN

if TYPE_CHECKING:
    import torch

SHARED = ("references", "target_captions", "source_captions")
IMAGINED = ("rp", METHOD, "other_proxy")  # the variants that are compared, of those that need images

Lists = dict[str, list[tuple[str, float]]]  # {query id: [(image, score)], best first}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """The proxies of one setting, for the queries of a search.

    units: float32 [Q, N, D], normalised, in the order in which they were drawn. known: bool [Q], False where a query
    has none, whose rows mean nothing. Means over the first proxies are those of eq. 1.
    """

    units: "torch.Tensor"
    known: "torch.Tensor"

    def mean(self, counts: "int | torch.Tensor") -> "torch.Tensor":
        """f_p of the first ``counts`` proxies, an int or int64 [Q]; [Q, D]. Where that is none it is zero."""
        import torch

        counts = torch.as_tensor(counts).expand(len(self.units))
        used = torch.arange(self.units.shape[1]) < counts[:, None]
        return (self.units * used[..., None]).sum(1) / counts.clamp(min=1)[:, None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """Row n of every tensor belongs to inputs.queries[n].

    queries: all of the benchmark, those without a list too, which count as not found. references [Q, D], normalised;
    perturbation [Q, D]: f_s; known: bool [Q], which queries have both. lams: {variant: lambda}.
    """

    inputs: RetrievalInputs
    queries: Sequence[Query]
    references: "torch.Tensor"
    perturbation: "torch.Tensor"
    known: "torch.Tensor"
    lams: Mapping[str, float]
    fusion: Fusion
    ranking: Ranking
    benchmark: Benchmark
    seed: int
    resamples: int

    @property
    def key(self) -> str:
        """The metric that decides."""
        return self.benchmark.tuned_by

    def drawn(self, features: Features, file=None) -> Drawn:
        """The proxies in a feature file. Raises InputError where it lacks a query."""
        import torch

        from ipcir_steps.seek.fusion import unit

        ids = [query.query_id for query in self.inputs.queries]
        missing = set(features.missing)
        values = torch.from_numpy(np.array(features.values[align(features, ids, file=file)]))
        return Drawn(units=unit(values), known=torch.tensor([query_id not in missing for query_id in ids]))

    def unimagined(self) -> dict[str, Lists]:
        """The lists that need no proxy: by the text alone, and of the fusion without proxies."""
        fused = self._fused((self.references, self.perturbation), self.known, self.fusion.weights[1:])
        return self._lists(UNDRAWN, {NO_PROXY: fused}, {NO_PROXY: self.known})

    def imagined(self, mean: "torch.Tensor", known: "torch.Tensor", variants=IMAGINED) -> dict[str, Lists]:
        """The lists of f_p [Q, D]. known: bool [Q], the queries that have proxies; the others keep the text's list."""
        from ipcir_steps.seek.fusion.recipes import other_queries

        known = known & self.known
        parts, proxies = (mean, self.references, self.perturbation), {}
        proxies["rp"] = self._fused(parts, known, self.fusion.weights)
        if "other_proxy" in variants:
            rows = known.nonzero().flatten()
            other = mean.clone()
            ids = [self.inputs.queries[row].query_id for row in rows.tolist()]
            other[rows] = mean[rows][other_queries(ids, self.seed)]
            proxies["other_proxy"] = self._fused((other, *parts[1:]), known, self.fusion.weights)
        return self._lists(variants, proxies, dict.fromkeys(proxies, known))

    def _fused(self, parts, known, weights) -> "torch.Tensor":
        """Eq. 1 of the known rows; ones elsewhere, which mean nothing."""
        import torch

        from ipcir_steps.seek.fusion import scaled_sum

        fused = torch.ones_like(self.references)
        if known.any():
            fused[known] = scaled_sum([part[known] for part in parts], weights, self.fusion.scale)
        return fused

    def _lists(self, variants, proxies, known) -> dict[str, Lists]:
        from ipcir_steps.seek.ranking.lists import rank_gallery

        ids = [query.query_id for query in self.inputs.queries]
        without = {
            name: frozenset(query_id for query_id, has in zip(ids, rows.tolist(), strict=True) if not has)
            for name, rows in known.items()
        }
        inputs = dataclasses.replace(self.inputs, proxies=proxies, without=without)
        lams = {variant: (self.lams[variant],) for variant in variants}
        found = rank_gallery(inputs, lams, self.ranking, self.benchmark.whole)
        return {variant: dict(rows) for variant, (rows,) in found.items()}

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


def overlap(lists: Lists, others: Lists, top: int) -> dict[str, float]:
    """{query id: share of the first ``top`` images that two lists have in common}, of the queries that both have,
    in the order of ``lists``."""
    found = {}
    for query_id in [name for name in lists if name in others]:
        first, second = ({name for name, *_ in side[query_id][:top]} for side in (lists, others))
        found[query_id] = len(first & second) / max(1, len(first), len(second))
    return found


def read(args: argparse.Namespace, lams, fusion: Fusion, ranking: Ranking) -> Search:
    """From the options of ``ipcir frontier``."""
    import torch

    from ipcir_steps.seek.fusion import semantic_perturbation, unit

    found = from_args(args, proxies={name: getattr(args, name) for name in SHARED})
    absent = set().union(*found.without.values())
    captions = (found.proxies[name].transpose(0, 1) for name in SHARED[1:])
    return Search(
        inputs=found,
        queries=without_groups(read_queries(args.queries)),
        references=unit(found.proxies["references"]),
        perturbation=semantic_perturbation(*captions),
        known=torch.tensor([query.query_id not in absent for query in found.queries], dtype=torch.bool),
        lams=lams,
        fusion=fusion,
        ranking=ranking,
        benchmark=BENCHMARKS[args.benchmark],
        seed=args.seed,
        resamples=args.resamples,
    )
