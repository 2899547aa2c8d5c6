"""Choosing lambda and the weights: on labelled queries by a grid, and without labels by two rules."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.rankings import Entry, names_by_place, ranked
from ipcir_steps.core.records import Query
from ipcir_steps.core.statistics import interval
from ipcir_steps.seek.ranking.inputs import RetrievalInputs

SAMPLE = 4096  # gallery images from which the label-free rules take mean and spread


def without_groups(queries: Sequence[Query]) -> list[Query]:
    """The queries as a search of the gallery scores them: CIRR's image sets have rankings of their own."""
    return [dataclasses.replace(query, group=None) for query in queries]


def per_variant(rankings: dict, queries: Sequence[Query], benchmark, key: str, lambdas: Sequence[float]) -> dict:
    """Each variant's own best lambda on labelled queries, the controls' too: {"chosen", "curves"}.

    rankings: {variant: one [(query id, [(image, score)])] per lambda}, as ``rank_gallery`` makes them; key: the metric
    that decides, as a fraction. base has no lambda to choose; it is S_t.
    """
    curves = {}
    for variant, of_lambdas in rankings.items():
        lists = ({query: _names(filled) for query, filled in rows} for rows in of_lambdas)
        curves[variant] = [_known(benchmark.total(rows, queries), key)[key] for rows in lists]
    chosen = {"base": {"lambda": 1.0}} | {variant: best(curve, lambdas) for variant, curve in curves.items()}
    return {"chosen": chosen, "curves": curves}


def _names(entries: Sequence[Entry]) -> Sequence[str | None]:
    return names_by_place([(place, name) for place, name, _ in ranked(entries)])


def _known(metrics: dict[str, float], key: str) -> dict[str, float]:
    if key not in metrics:
        raise InputError(f"is {key!r}, not one of {', '.join(metrics)}", field="--key")
    return metrics


def best(curve: Sequence[float], lambdas: Sequence[float]) -> dict:
    """The best lambda of a curve; of equal ones the greatest, which trusts the proxy least.

    >>> best([0.2, 0.5, 0.5], (0.0, 0.5, 1.0))
    {'lambda': 1.0, 'value': 0.5}
    """
    number = max(range(len(curve)), key=lambda number: (curve[number], lambdas[number]))
    return {"lambda": lambdas[number], "value": curve[number]}


def labelled(inputs: RetrievalInputs, components, grid, benchmark, key: str, settings) -> dict:
    """The whole grid, the best setting by ``key``, and the bootstrap interval of its mean over queries.

    grid: ``sweep.Setting``s. The choice was made on the same queries, so the interval shows how sharp the optimum is,
    not what to expect: ``tied`` counts the settings whose paired difference to the best has an interval that includes
    zero. Raises InputError when the benchmark has no such metric per query.
    """
    from ipcir_steps.evaluate.tuning.sweep import sweep

    queries = without_groups(inputs.queries)
    per_query: list[list[float]] = []  # of every setting, kept beside the metrics so that nothing is ranked twice

    def metric(rankings):
        values = _known(benchmark.total(rankings, queries), key)
        scored = benchmark.per_query(rankings, queries).values()
        per_query.append([scores[key] for scores in scored if key in scores])
        if not per_query[-1]:
            raise InputError(f"is {key!r}, which has no value per query", field="--key")
        return values

    limits = {"block": settings.block, "memory_mb": settings.memory_mb}
    rows = sweep(inputs, components, grid, metric, settings.k, settings.scale, benchmark.whole, **limits)
    number = max(range(len(rows)), key=lambda number: rows[number]["metrics"][key])
    lows = [interval(np.subtract(per_query[number], values))[0] for values in per_query]
    tied = sum(low <= 0 for low in lows)
    chosen = rows[number] | {"key": key, "interval": list(interval(per_query[number])), "tied": tied}
    return {"chosen": chosen, "settings": rows}


def label_free(inputs: RetrievalInputs, components, settings) -> dict[str, float]:
    """Lambda for the default weights and all proxies by both rules."""
    from ipcir_steps.seek.fusion import robust_proxy

    parts = components.proxies, components.references, components.perturbation
    proxy = robust_proxy(*parts, scale=settings.scale, counts=components.drawn.sum(1))
    sides = inputs.text, proxy, inputs.gallery
    limits = {"block": settings.block, "memory_mb": settings.memory_mb}
    return {
        "matched_spread": matched_spread(*sides),
        "agreed": agreed(*sides, exclude=inputs.exclude, **limits),
    }


def matched_spread(text, proxy, gallery) -> float:
    """Lambda at which both terms of eq. 2 spread the gallery equally: sd(B) / (sd(A) + sd(B)), A = S_t, B = S_t S_p.

    text, proxy [Q, D] as in ``rank``; gallery [G, D] un-normalised. The spread is each query's over an even sample of
    the gallery, its median over queries is taken. No labels.
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
    import torch

    from ipcir_steps.seek.ranking.blocks import unit
    from ipcir_steps.seek.ranking.streaming import Balance, scan

    text_side, proxy_side = _sampled(text, proxy, gallery)
    t_mean, p_mean = text_side.mean(1, keepdim=True), proxy_side.mean(1, keepdim=True)
    t_sd, p_sd = text_side.std(1, keepdim=True), proxy_side.std(1, keepdim=True)
    clear = torch.ones(2)
    for _ in range(rounds):
        parts = {"proxy": proxy * (clear[1] / p_sd)}
        summed = [Balance("proxy", (0.5,), "sum")]
        best_image = scan(text * (clear[0] / t_sd), gallery, summed, parts, 1, exclude, **limits)[0][0][0, :, 0]
        # An exclusion from a gallery of one image leaves nothing (-1), whose similarity means nothing either.
        images = unit(torch.as_tensor(gallery[best_image.clamp(min=0)]).float(), "gallery")
        z_text = ((text * images).sum(1, keepdim=True) - t_mean) / t_sd
        z_proxy = ((proxy * images).sum(1, keepdim=True) - p_mean) / p_sd
        clear = torch.stack([z_text.mean(), z_proxy.mean()]).clamp(min=1e-3)
    ratio = clear[0] / clear[1] * p_sd.mean() * t_mean.mean() / t_sd.mean() - p_mean.mean()
    return float(ratio.clamp(min=0) / (1 + ratio.clamp(min=0)))


def _sampled(text, proxy, gallery):
    import torch

    from ipcir_steps.seek.ranking.blocks import unit

    some = gallery[:: -(-len(gallery) // SAMPLE)]
    some = unit(some if isinstance(some, torch.Tensor) else torch.tensor(some).float(), "gallery")
    return text @ some.T, proxy @ some.T
