"""One rule on one set of features: fused proxies of what is trusted, and each query's own lambda for every variant."""

import dataclasses
from collections.abc import Iterable, Mapping

import torch

from ipcir_steps.config.retrieval import Fusion
from ipcir_steps.core.features import Features
from ipcir_steps.seek.balance.rules import Rule, lambda_of
from ipcir_steps.seek.balance.sides import Believed, Sides, sides_of
from ipcir_steps.seek.fusion.recipes import FUSIONS, Parts, fuse
from ipcir_steps.seek.ranking.inputs import RetrievalInputs, rows_of
from ipcir_steps.variants import BASE, card_of


@dataclasses.dataclass(frozen=True)
class Balanced:
    """What a rule made. Row n of a tensor belongs to query n of the inputs.

    fused: {proxy: features of every query}. lams: {variant: float32 [Q]}. trust: {proxy: mean trust of each query's
    proxies, float32 [Q]}, of those made from proxies. sides: {proxy: what both sides show of the queries that have it}.
    """

    fused: Mapping[str, Features]
    lams: Mapping[str, torch.Tensor]
    trust: Mapping[str, torch.Tensor]
    sides: Mapping[str, Sides]


def balance(
    rule: Rule, inputs: RetrievalInputs, features: Mapping[str, Features], variants: Iterable[str], fusion: Fusion,
    run_seed: int, believed: Believed | None = None, **limits,
) -> Balanced:  # fmt: skip
    """features: "references", "proxies", "target" and "source", as stored, one row per query. variants: whose lambda is
    chosen; fusion: settings of eq. 1; believed: what a judge says, for rules that need it; limits: as in ``scan``."""
    chosen = [card_of(name) for name in variants if name != BASE]
    ids = [query.query_id for query in inputs.queries]
    fused, trusts, sides, known, lams = {}, {}, {}, {}, {}
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []
    for name in dict.fromkeys(variant.proxy for variant in chosen):
        told: dict[str, float] = {}
        trust = None if rule.trust is None else _telling(rule, inputs, limits, told, asked)
        fused[name] = fuse(name, features, fusion.weights, fusion.scale, run_seed, trust)
        gone = set(fused[name].missing)
        known[name] = torch.tensor([query_id not in gone for query_id in ids], dtype=torch.bool)
        sides[name] = sides_of(inputs, rows_of(fused[name], inputs.queries), believed=believed, **limits)
        if "proxies" in FUSIONS[name].needs:
            trusts[name] = torch.tensor([told.get(query_id, 1.0) for query_id in ids])
    for variant in chosen:
        own, some = torch.ones(len(ids)), known[variant.proxy]
        if some.any():
            own[some] = lambda_of(rule, sides[variant.proxy].of(some), variant.combine)
        if FUSIONS[variant.proxy].needs == ("proxies",):  # nothing else speaks where the proxies are not trusted
            own = 1 - trusts[variant.proxy] * (1 - own)
        lams[variant.name] = own.clamp(0, 1)
    return Balanced(fused, lams, trusts, {name: of.of(known[name]) for name, of in sides.items()})


def _telling(rule: Rule, inputs: RetrievalInputs, limits: Mapping, told: dict[str, float], asked: list):
    """The rule's trust as ``fuse`` asks for it; ``told`` gets the mean of each query.

    asked: (proxies, trust) so far: f_p and the robust proxy are made of the same ones, whose trust is computed once.
    """

    def trust(parts: Parts) -> torch.Tensor:
        found = next((trust for proxies, trust in asked if proxies.equal(parts.proxies)), None)
        if found is None:
            found = rule.trust(parts, inputs, **limits)
            asked.append((parts.proxies, found))
        mean = (found * parts.drawn).sum(1) / parts.drawn.sum(1)
        told.update(zip(parts.query_ids, mean.tolist(), strict=True))
        return found

    return trust
