"""Lists of queries for any number of their proxies, from one text side, gallery, references and captions."""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ipcir_steps.config.retrieval import Fusion, Ranking
from ipcir_steps.core.features import Features, align
from ipcir_steps.seek.ranking.inputs import RetrievalInputs, from_args
from ipcir_steps.variants import BASE, METHOD, NO_PROXY, UNDRAWN

if TYPE_CHECKING:
    import torch

SHARED = ("references", "target_captions", "source_captions")
IMAGINED = ("rp", METHOD, "other_proxy")  # the variants that are compared, of those that need images

Lists = dict[str, list[tuple[str, float]]]  # {query id: [(image, score)], best first}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn:
    """The proxies of one setting, for the queries of a search.

    units: float32 [Q, N, D], normalised, in the order in which they were drawn. counts: int64 [Q], how many a query
    has; what lies behind them means nothing. Means over the first proxies are those of eq. 1.
    """

    units: "torch.Tensor"
    counts: "torch.Tensor"

    @property
    def known(self) -> "torch.Tensor":
        """bool [Q]: the queries that have any."""
        return self.counts > 0

    def mean(self, counts: "int | torch.Tensor") -> "torch.Tensor":
        """f_p of the first ``counts`` proxies, an int or int64 [Q], of those that there are; [Q, D]. Zero of none."""
        import torch

        counts = torch.minimum(torch.as_tensor(counts).expand(len(self.units)), self.counts)
        total = torch.zeros_like(self.units.sum(1))
        for number in range(self.units.shape[1]):  # one after another: the same sum however many follow
            total += self.units[:, number].where((counts > number)[:, None], torch.zeros(()))
        return total / counts.clamp(min=1)[:, None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """Row n of every tensor belongs to inputs.queries[n].

    references [Q, D], normalised; perturbation [Q, D]: f_s; known: bool [Q], which queries have both. lams: {variant:
    lambda}. whole: lists also hold the targets below their end.
    """

    inputs: RetrievalInputs
    references: "torch.Tensor"
    perturbation: "torch.Tensor"
    known: "torch.Tensor"
    lams: Mapping[str, float]
    fusion: Fusion
    ranking: Ranking
    seed: int = 0
    whole: bool = False

    def drawn(self, features: Features, file=None) -> Drawn:
        """The proxies in a feature file. Raises InputError where it lacks a query."""
        import torch

        from ipcir_steps.seek.fusion import unit

        rows = align(features, [query.query_id for query in self.inputs.queries], file=file)
        values = torch.from_numpy(np.array(features.values[rows]))
        return Drawn(units=unit(values), counts=torch.from_numpy(features.drawn[rows]))

    def texts(self) -> Lists:
        """The lists by the text alone."""
        return self._lists((BASE,), {}, {})[BASE]

    def unimagined(self) -> dict[str, Lists]:
        """The lists that need no proxy: by the text alone, and of the fusion without proxies."""
        return self._lists(UNDRAWN, {NO_PROXY: self._unimagined()}, {NO_PROXY: self.known})

    def imagined(
        self, mean: "torch.Tensor", known: "torch.Tensor", variants=IMAGINED, skipped=None
    ) -> dict[str, Lists]:
        """The lists of f_p [Q, D]. known: bool [Q], the queries that have proxies; skipped: bool [Q], those that are
        fused without any, because none was to be drawn. The others keep the text's list."""
        import torch

        from ipcir_steps.seek.fusion.recipes import other_queries

        known = known & self.known
        skipped = torch.zeros_like(known) if skipped is None else skipped & self.known
        parts, proxies = (mean, self.references, self.perturbation), {}
        proxies["rp"] = self._fused(parts, known, self.fusion.weights)
        if "other_proxy" in variants:
            rows = known.nonzero().flatten()
            other = mean.clone()
            ids = [self.inputs.queries[row].query_id for row in rows.tolist()]
            other[rows] = mean[rows][other_queries(ids, self.seed)]
            proxies["other_proxy"] = self._fused((other, *parts[1:]), known, self.fusion.weights)
        if skipped.any():
            without = self._unimagined()
            proxies = {name: fused.where(~skipped[:, None], without) for name, fused in proxies.items()}
        return self._lists(variants, proxies, dict.fromkeys(proxies, known | skipped))

    def _unimagined(self) -> "torch.Tensor":
        return self._fused((self.references, self.perturbation), self.known, self.fusion.weights[1:])

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
        found = rank_gallery(inputs, lams, self.ranking, self.whole)
        return {variant: dict(rows) for variant, (rows,) in found.items()}


def overlap(lists: Lists, others: Lists, top: int) -> dict[str, float]:
    """{query id: share of the first ``top`` images that two lists have in common}, of the queries that both have,
    in the order of ``lists``."""
    found = {}
    for query_id in [name for name in lists if name in others]:
        first, second = ({name for name, *_ in side[query_id][:top]} for side in (lists, others))
        found[query_id] = len(first & second) / max(1, len(first), len(second))
    return found


def read(args: argparse.Namespace, lams, fusion: Fusion, ranking: Ranking, kind=Search, **more) -> Search:
    """From the options of ``seek.ranking.inputs`` and of ``SHARED``. kind: the class of the search; more: its own
    fields."""
    import torch

    from ipcir_steps.seek.fusion import semantic_perturbation, unit

    found = from_args(args, proxies={name: getattr(args, name) for name in SHARED})
    absent = set().union(*found.without.values())
    captions = (found.proxies[name].transpose(0, 1) for name in SHARED[1:])
    return kind(
        inputs=found,
        references=unit(found.proxies["references"]),
        perturbation=semantic_perturbation(*captions),
        known=torch.tensor([query.query_id not in absent for query in found.queries], dtype=torch.bool),
        lams=lams,
        fusion=fusion,
        ranking=ranking,
        **more,
    )
