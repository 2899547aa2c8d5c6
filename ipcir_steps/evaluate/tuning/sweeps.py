"""Sweeps over lambda, weights, number of proxies and components from one pass, and lambda without labels.

Similarities are linear in eq. 1, so every setting is a mix of the same few products: the gallery is read once.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.seek.fusion import factors
from ipcir_steps.seek.ranking.blocks import unit
from ipcir_steps.seek.ranking.streaming import Balance, scan

LAMBDAS = tuple(step / 10 for step in range(11))
COMPONENTS = tuple(bits for bits in itertools.product((1.0, 0.0), repeat=3) if any(bits))  # figure 5's seven
SAMPLE = 4096  # gallery images from which the label-free rules take mean and spread


@dataclasses.dataclass(frozen=True)
class Setting:
    """Weights of proxy, query and perturbation (eq. 1), how many proxies, and lambda (eq. 2)."""

    weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    proxies: int | None = None  # None: all
    weight: float = 0.3


@dataclasses.dataclass(frozen=True)
class World:
    """What the settings rank. text [Q, D]; gallery [G, D]; proxies [Q, N, D]; references, perturbation [Q, D]; float32,
    un-normalised as in ``fusion`` and ``rank``. query_ids and names: of the rows of text and gallery.
    exclude: as in ``rank``. groups: (query rows, gallery rows) pairs where queries have galleries of their own.
    """

    text: torch.Tensor
    gallery: object
    proxies: torch.Tensor
    references: torch.Tensor
    perturbation: torch.Tensor
    query_ids: Sequence[str]
    names: Sequence[str]
    exclude: torch.Tensor | None = None
    groups: Sequence[tuple[list[int], list[int] | None]] | None = None


def sweep(world: World, settings: Sequence[Setting], metric: Callable[[dict], dict], k=50, scale="dataset", **limits):
    """[{"weights", "proxies", "lambda", "metrics"}] of each setting, in order; no ranking is stored.

    metric: called with {query_id: [image names]} of a setting, returns {name: value}. limits: as in ``rank``.
    """
    rankings = _lists(world, settings, k, scale, limits)
    return [
        {
            "weights": list(s.weights),
            "proxies": s.proxies or world.proxies.shape[1],
            "lambda": s.weight,
            "metrics": value,
        }
        for s, value in zip(settings, map(metric, rankings), strict=True)
    ]


def _lists(world, settings, k, scale, limits):
    parts, mixes = _mixes(world, settings, scale)
    wanted = {}  # a mix and its lambdas are one balance
    for setting in settings:
        wanted.setdefault((setting.weights, setting.proxies), {})[setting.weight] = None
    rankings = [{} for _ in settings]
    for rows, subset in world.groups or [(list(range(len(world.text))), None)]:
        balances = []
        for key, weights in wanted.items():
            balances.append(Balance({name: factor[rows] for name, factor in mixes[key].items()}, tuple(weights)))
        exclude = None if world.exclude is None else torch.as_tensor(world.exclude)[rows]
        some = {name: part[rows] for name, part in parts.items()}
        found = scan(world.text[rows], world.gallery, balances, some, k, exclude, subset, **limits)
        found = dict(zip(wanted, found, strict=True))
        for number, setting in enumerate(settings):
            key = setting.weights, setting.proxies
            indices = found[key][0][list(wanted[key]).index(setting.weight)]
            for row, filled in zip(rows, indices.tolist(), strict=True):
                rankings[number][world.query_ids[row]] = [world.names[i] for i in filled if i >= 0]
    return rankings


def _mixes(world, settings, scale):
    """The products that are needed, and what each (weights, proxies) takes of them."""
    drawn, change = unit(world.proxies, "proxies"), world.perturbation
    sides, mixes, parts = {"query": unit(world.references, "references"), "change": change}, {}, {}
    for setting in settings:
        count = setting.proxies or drawn.shape[1]
        if not 1 <= count <= drawn.shape[1]:
            raise InputError(f"is {count}, there are {drawn.shape[1]}", field="proxies")
        key = setting.weights, setting.proxies
        if key in mixes:
            continue
        three = {f"proxy {count}": drawn[:, :count].mean(1), **sides}
        mixes[key] = dict(zip(three, factors(tuple(three.values()), setting.weights, scale), strict=True))
        parts |= three
    # Where the target captions are the source captions there is no change: its product counts nothing, so any will do.
    empty = {name: (part == 0).all(1, keepdim=True) for name, part in parts.items()}
    parts = {name: part.masked_fill(empty[name], 1.0) for name, part in parts.items()}
    counted = {
        key: {name: factor.expand(len(drawn), 1).masked_fill(empty[name], 0.0) for name, factor in mix.items()}
        for key, mix in mixes.items()
    }
    return parts, counted


def interval(values: Sequence[float], draws=2000, level=0.95, seed=0) -> tuple[float, float]:
    """Bootstrap interval of the mean of per-query values."""
    values = torch.tensor(list(values), dtype=torch.float64)
    picked = torch.randint(len(values), (draws, len(values)), generator=torch.Generator().manual_seed(seed))
    tail = (1 - level) / 2
    low, high = values[picked].mean(1).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def matched_spread(text, proxy, gallery) -> float:
    """Lambda at which both terms of eq. 2 spread the gallery equally: sd(B) / (sd(A) + sd(B)), A = S_t, B = S_t S_p.

    The spread is each query's over an even sample of the gallery, its median over queries is taken. No labels.
    """
    text_side, proxy_side = _sampled(text, proxy, gallery)
    a, b = text_side.std(1).median(), (text_side * proxy_side).std(1).median()
    return float(b / (a + b))


def agreed(text, proxy, gallery, rounds=8, exclude=None, **limits) -> float:
    """Lambda that weighs both sides by how clearly they see the image on which they agree. No labels.

    Near the mean, eq. 2 changes by (lambda + (1 - lambda) mean S_p) dS_t + (1 - lambda) mean S_t dS_p; for independent
    noise the best weights of the standardised similarities are in the ratio of the target's two z-scores. The target is
    not known, so the best image of the weighted sum stands for it; weights and images take turns (pseudo-relevance).
    """
    text_side, proxy_side = _sampled(text, proxy, gallery)
    t_mean, p_mean = text_side.mean(1, keepdim=True), proxy_side.mean(1, keepdim=True)
    t_sd, p_sd = text_side.std(1, keepdim=True), proxy_side.std(1, keepdim=True)
    clear = torch.ones(2)
    for _ in range(rounds):
        parts = {"proxy": proxy * (clear[1] / p_sd)}
        summed = [Balance("proxy", (0.5,), "sum")]
        best = scan(text * (clear[0] / t_sd), gallery, summed, parts, 1, exclude, **limits)[0][0][0, :, 0]
        # An exclusion from a gallery of one image leaves nothing (-1), whose similarity means nothing either.
        images = unit(torch.as_tensor(gallery[best.clamp(min=0)]).float(), "gallery")
        z_text = ((text * images).sum(1, keepdim=True) - t_mean) / t_sd
        z_proxy = ((proxy * images).sum(1, keepdim=True) - p_mean) / p_sd
        clear = torch.stack([z_text.mean(), z_proxy.mean()]).clamp(min=1e-3)
    ratio = clear[0] / clear[1] * p_sd.mean() * t_mean.mean() / t_sd.mean() - p_mean.mean()
    return float(ratio.clamp(min=0) / (1 + ratio.clamp(min=0)))


def _sampled(text, proxy, gallery):
    step = -(-len(gallery) // SAMPLE)
    some = unit(
        torch.tensor(gallery[::step]).float() if not isinstance(gallery, torch.Tensor) else gallery[::step], "gallery"
    )
    return text @ some.T, proxy @ some.T
