"""The fused proxies by name: what each is made of, and how. A new one is a function and a line in ``FUSIONS``."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, align
from ipcir_steps.core.files import seed
from ipcir_steps.seek.fusion import proxy_mean, robust_proxy, scaled_sum, semantic_perturbation, unit


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a recipe may use, float32 and un-normalised, in the order of ``query_ids``; None where it was not asked for.

    references [Q, D]; proxies [Q, N, D]; target, source: captions [K, Q, D]; weights: of proxy, query and perturbation;
    scale: as in eq. 1; seed: of the run. trust: parts -> what each proxy counts, [Q, N] in [0, 1]; None: each counts 1.
    counts: int64 [Q], how many of the N proxies a query has, whose others are zeros; None: all.
    """

    query_ids: list[str]
    references: torch.Tensor
    proxies: torch.Tensor | None
    target: torch.Tensor | None
    source: torch.Tensor | None
    weights: tuple[float, float, float]
    scale: str
    seed: int
    trust: "Callable[[Parts], torch.Tensor] | None" = None
    counts: torch.Tensor | None = None

    @property
    def drawn(self) -> torch.Tensor:
        """bool [Q, N]: the proxies that there are."""
        whole = self.proxies.new_ones(self.proxies.shape[:2], dtype=torch.bool)
        return whole if self.counts is None else torch.arange(whole.shape[1]) < self.counts[:, None]

    def perturbation(self) -> torch.Tensor:
        return semantic_perturbation(self.target, self.source)


@dataclasses.dataclass(frozen=True)
class Fusion:
    """needs: the inputs beside the references; make: parts -> [Q, D]; help: what it is."""

    needs: tuple[str, ...]
    make: Callable[[Parts], torch.Tensor]
    help: str


def plain(parts: Parts) -> torch.Tensor:
    return proxy_mean(parts.proxies, parts.counts) - distrusted(parts)


def robust(parts: Parts) -> torch.Tensor:
    change = parts.perturbation()
    fused = robust_proxy(parts.proxies, parts.references, change, parts.weights, parts.scale, parts.counts)
    return fused - parts.weights[0] * distrusted(parts)


def distrusted(parts: Parts) -> torch.Tensor | float:
    """What f_p loses where proxies are not trusted in full: the mean of (1 - trust) nrm(proxy). [Q, D], or 0.

    The maxima of eq. 1 stay those of the whole f_p, so that the other parts count the same whatever is trusted.
    """
    if parts.trust is None:
        return 0.0
    lost = (1 - parts.trust(parts)).unsqueeze(-1) * unit(parts.proxies)
    return lost.mean(1) if parts.counts is None else lost.sum(1) / parts.counts[:, None]


def without_proxy(parts: Parts) -> torch.Tensor:
    return scaled_sum((unit(parts.references), parts.perturbation()), parts.weights[1:], parts.scale)


def of_another_query(parts: Parts) -> torch.Tensor:
    rows = other_queries(parts.query_ids, parts.seed)
    counts = None if parts.counts is None else parts.counts[rows]
    return robust(dataclasses.replace(parts, proxies=parts.proxies[rows], counts=counts))


def other_queries(query_ids, run_seed: int) -> list[int]:
    """A fixed-point-free permutation: whose proxies each query gets in the control ``other_proxy``.

    All queries form one cycle in the order of a hash of their ids, so the row order does not matter.

    >>> other_queries(["a", "b", "c"], 0)
    [2, 0, 1]
    """
    if len(query_ids) < 2:
        raise InputError("other_proxy needs two queries with proxies", remedy="Leave this control out.")
    cycle = sorted(range(len(query_ids)), key=lambda row: seed(run_seed, "other_proxy", query_ids[row]))
    partner = dict(zip(cycle, cycle[1:] + cycle[:1], strict=True))
    return [partner[row] for row in range(len(query_ids))]


CAPTIONS = ("target", "source")
NOTHING = 1e-6  # the largest entry of what is left of unit vectors none of which is trusted
FUSIONS = {
    "pi": Fusion(("proxies",), plain, "mean of the normalised proxies, f_p"),
    "rp": Fusion(("proxies", *CAPTIONS), robust, "robust proxy, eq. 1"),
    "no_proxy": Fusion(CAPTIONS, without_proxy, "control: query and perturbation only"),
    "other_proxy": Fusion(("proxies", *CAPTIONS), of_another_query, "control: eq. 1 with the proxies of another query"),
}


def fuse(
    name: str, inputs: Mapping[str, Features], weights=(1, 1, 1), scale="dataset", run_seed=0, trust=None
) -> Features:
    """One fused proxy per query, [Q, D]. inputs: "references" [Q, D] and what the recipe needs, as stored: "proxies"
    [Q, N, D], "target" and "source" [Q, K, D]. trust: as in ``Parts``; it may ask for the captions too.

    Queries missing in an input that is needed are zero rows, listed in ``missing``, and have no part in the dataset
    maximum. So are those of whose proxies none is trusted, where nothing else is fused. A query of which no proxy was
    wanted (``Features.counts``) is fused without any.
    """
    fusion, references = FUSIONS[name], inputs["references"]
    needs = fusion.needs if trust is None else dict.fromkeys((*fusion.needs, *CAPTIONS))
    used = {part: inputs[part] for part in ("references", *needs)}
    absent = {query for features in used.values() for query in features.missing}
    unwanted = _unwanted(used.get("proxies"), absent, name)
    rows = [row for row, query in enumerate(references.names) if query not in absent | unwanted]
    kept = [references.names[row] for row in rows]
    out = np.zeros((len(references.names), references.values.shape[-1]), np.float32)
    if rows:
        out[rows] = fusion.make(_parts(used, kept, (weights, scale, run_seed, trust))).numpy()
        if trust is not None:
            absent |= {query for query, row in zip(kept, rows, strict=True) if np.abs(out[row]).max() < NOTHING}
    if fusion.needs == ("proxies",):  # there is nothing else to fuse
        absent |= unwanted
    elif unwanted:
        some = align(references, sorted(unwanted))
        out[some] = fuse("no_proxy", inputs, weights, scale).values[some]
    missing = tuple(query for query in references.names if query in absent)
    out[[row for row, query in enumerate(references.names) if query in absent]] = 0
    return Features(out, references.names, missing, references.model)


def _parts(used: Mapping[str, Features], kept: list[str], settings: tuple) -> Parts:
    read = {part: torch.from_numpy(np.array(f.values[align(f, kept)])) for part, f in used.items()}
    captions = {part: read[part].transpose(0, 1) for part in CAPTIONS if part in read}
    counts, drawn = None, used.get("proxies")
    if drawn is not None and drawn.counts is not None:
        counts = torch.from_numpy(drawn.drawn[align(drawn, kept)])
    return Parts(
        kept, read["references"], read.get("proxies"), captions.get("target"), captions.get("source"), *settings, counts
    )


def _unwanted(drawn: Features | None, absent: set[str], name: str) -> set[str]:
    """The queries that are fused without proxies because none were wanted; and the only one that has any where it would
    get those of another."""
    if drawn is None or drawn.counts is None:
        return set()
    has = {query for query, count in zip(drawn.names, drawn.drawn, strict=True) if count and query not in absent}
    alone = has if name == "other_proxy" and len(has) == 1 else set()
    return set(drawn.names) - absent - has | alone
