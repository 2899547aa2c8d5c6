"""Sweeps over lambda, weights, number of proxies and components from one pass over the gallery.

Similarities are linear in eq. 1, so every setting is a mix of the same few products.
"""

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ipcir_steps.core.arguments import InFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.rankings import names_by_place
from ipcir_steps.seek.ranking.inputs import RetrievalInputs, from_args, places_below, searches, target_rows

if TYPE_CHECKING:
    import torch

COMPONENTS = tuple(bits for bits in itertools.product((1.0, 0.0), repeat=3) if any(bits))  # figure 5's seven
PARTS = {
    "references": "reference features, one row per query",
    "proxies": "proxy features [Q, N, D]",
    "target_captions": "target caption features [Q, K, D]",
    "source_captions": "source caption features [Q, K, D]",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """Weights of proxy, query and perturbation (eq. 1), how many proxies, and lambda (eq. 2)."""

    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    proxies: int | None = None  # None: all
    lam: float = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Components:
    """What eq. 1 is made of, for the queries of a search: proxies [Q, N, D], references and perturbation [Q, D];
    float32, un-normalised as in ``fusion``. Where a query has fewer proxies than N the others are zeros."""

    proxies: "torch.Tensor"
    references: "torch.Tensor"
    perturbation: "torch.Tensor"

    @property
    def drawn(self) -> "torch.Tensor":
        """bool [Q, N]: the proxies that there are."""
        return self.proxies.any(-1)


def add_parts(parser: argparse.ArgumentParser, required: bool) -> None:
    for name, text in PARTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", required=required, type=InFile, help=text)


def read_parts(args: argparse.Namespace) -> tuple[RetrievalInputs, Components]:
    """The queries that every feature file has, and the components of their robust proxies.

    Raises InputError when there is none, or a file does not match the others.
    """
    inputs = from_args(args, parts={name: getattr(args, name) for name in PARTS})
    if not inputs.queries:
        raise InputError("has no query that is in every input", file=args.queries)
    return inputs, components_of(inputs)


def components_of(inputs: RetrievalInputs) -> Components:
    """The components of the robust proxies, from the features of ``PARTS``."""
    from ipcir_steps.seek.fusion import semantic_perturbation

    parts = inputs.parts
    captions = (parts[f"{side}_captions"].transpose(0, 1) for side in ("target", "source"))
    perturbation = semantic_perturbation(*captions)
    return Components(proxies=parts["proxies"], references=parts["references"], perturbation=perturbation)


def sweep(
    inputs: RetrievalInputs, components: Components, settings: Sequence[Setting], metric: Callable[[dict], dict],
    k=50, scale="dataset", whole=False, **limits,
) -> list[dict]:  # fmt: skip
    """[{"weights", "proxies", "lambda", "metrics"}] of each setting, in order; no ranking is stored.

    metric: called with {query_id: [image names]} of a setting, returns {name: value}. whole: with the
    targets below the first k, at their places. limits: as in ``rank``.
    """
    rankings = _lists(inputs, components, settings, k, scale, whole, limits)
    return [
        {
            "weights": list(s.weights),
            "proxies": s.proxies or components.proxies.shape[1],
            "lambda": s.lam,
            "metrics": value,
        }
        for s, value in zip(settings, map(metric, rankings), strict=True)
    ]


def _lists(inputs, components, settings, k, scale, whole, limits) -> list[dict[str, Sequence[str | None]]]:
    from ipcir_steps.seek.ranking.streaming import MEMORY_MB, Balance, scan

    parts, mixes = _mixes(components, settings, scale)
    wanted: dict[tuple, dict[float, int]] = {}  # a mix and its lambdas are one balance
    for setting in settings:
        lams = wanted.setdefault((setting.weights, setting.proxies), {})
        lams.setdefault(setting.lam, len(lams))
    rankings: list[dict[str, Sequence[str | None]]] = [{} for _ in settings]
    count = sum(map(len, wanted.values()))
    for rows, subset, length in searches(inputs, k, whole, count, limits.get("memory_mb", MEMORY_MB)):
        balances = [
            Balance({name: factor[rows] for name, factor in mixes[key].items()}, tuple(lams))
            for key, lams in wanted.items()
        ]
        some = {name: part[rows] for name, part in parts.items()}
        found = scan(inputs.text[rows], inputs.gallery, balances, some, length, inputs.excluded(rows), subset, **limits)
        found = dict(zip(wanted, found, strict=True))
        targets = target_rows(inputs, rows) if whole else None
        for ranking, setting in zip(rankings, settings, strict=True):
            key = setting.weights, setting.proxies
            indices = found[key][0][wanted[key][setting.lam]]
            for number, (row, filled) in enumerate(zip(rows, indices[:, :k].tolist(), strict=True)):
                names = [inputs.names[i] for i in filled if i >= 0]
                if whole:
                    below = places_below(indices[number], k, targets[number])
                    placed = [*enumerate(names, 1), *((at + 1, inputs.names[indices[number, at]]) for at in below)]
                    names = names_by_place(placed)
                ranking[inputs.queries[row].query_id] = names
    return rankings


def _mixes(components, settings, scale):
    """The products that are needed, and what each (weights, proxies) takes of them."""
    from ipcir_steps.seek.fusion import factors
    from ipcir_steps.seek.ranking.blocks import unit

    there = components.drawn
    drawn = unit(components.proxies.where(there[..., None], components.proxies.new_ones(())), "proxies")
    drawn = drawn * there[..., None]
    sides = {"query": unit(components.references, "references"), "perturbation": components.perturbation}
    mixes, parts = {}, {}
    for setting in settings:
        count = setting.proxies or drawn.shape[1]
        if not 1 <= count <= drawn.shape[1]:
            raise InputError(f"is {count}, there are {drawn.shape[1]}", field="proxies")
        key = setting.weights, setting.proxies
        if key in mixes:
            continue
        mean = drawn[:, :count].sum(1) / there[:, :count].sum(1, keepdim=True)
        three = {f"proxy {count}": mean, **sides}
        mixes[key] = dict(zip(three, factors(tuple(three.values()), setting.weights, scale), strict=True))
        parts |= three
    # Where the target captions are the source captions the perturbation is zero: its product counts nothing, so any
    # will do.
    empty = {name: (part == 0).all(1, keepdim=True) for name, part in parts.items()}
    parts = {name: part.masked_fill(empty[name], 1.0) for name, part in parts.items()}
    counted = {
        key: {name: factor.expand(len(drawn), 1).masked_fill(empty[name], 0.0) for name, factor in mix.items()}
        for key, mix in mixes.items()
    }
    return parts, counted
