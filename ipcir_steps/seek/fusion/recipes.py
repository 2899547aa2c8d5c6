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

    def perturbation(self) -> torch.Tensor:
        return semantic_perturbation(self.target, self.source)


@dataclasses.dataclass(frozen=True)
class Fusion:
    """needs: the inputs beside the references; make: parts -> [Q, D]; help: what it is."""

    needs: tuple[str, ...]
    make: Callable[[Parts], torch.Tensor]
    help: str


def plain(parts: Parts) -> torch.Tensor:
    return proxy_mean(parts.proxies) - distrusted(parts)


def robust(parts: Parts) -> torch.Tensor:
    fused = robust_proxy(parts.proxies, parts.references, parts.perturbation(), parts.weights, parts.scale)
    return fused - parts.weights[0] * distrusted(parts)


def distrusted(parts: Parts) -> torch.Tensor | float:
    """What f_p loses where proxies are not trusted in full: the mean of (1 - trust) nrm(proxy). [Q, D], or 0.

    The maxima of eq. 1 stay those of the whole f_p, so that the other parts count the same whatever is trusted.
    """
    if parts.trust is None:
        return 0.0
    return ((1 - parts.trust(parts)).unsqueeze(-1) * unit(parts.proxies)).mean(1)


def without_proxy(parts: Parts) -> torch.Tensor:
    return scaled_sum((unit(parts.references), parts.perturbation()), parts.weights[1:], parts.scale)


def of_another_query(parts: Parts) -> torch.Tensor:
    others = parts.proxies[other_queries(parts.query_ids, parts.seed)]
    return robust(dataclasses.replace(parts, proxies=others))


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
    maximum. So are those of whose proxies none is trusted, where nothing else is fused.
    """
    fusion, references = FUSIONS[name], inputs["references"]
    needs = fusion.needs if trust is None else dict.fromkeys((*fusion.needs, *CAPTIONS))
    used = {part: inputs[part] for part in ("references", *needs)}
    absent = {query for features in used.values() for query in features.missing}
    rows = [row for row, query in enumerate(references.names) if query not in absent]
    kept = [references.names[row] for row in rows]
    out = np.zeros((len(references.names), references.values.shape[-1]), np.float32)
    if rows:
        read = {part: torch.from_numpy(np.array(f.values[align(f, kept)])) for part, f in used.items()}
        captions = {part: read[part].transpose(0, 1) for part in CAPTIONS if part in read}
        parts = Parts(
            kept, read["references"], read.get("proxies"), captions.get("target"), captions.get("source"),
            weights, scale, run_seed, trust,
        )  # fmt: skip
        out[rows] = fusion.make(parts).numpy()
        if trust is not None:
            absent |= {query for query, row in zip(kept, rows, strict=True) if np.abs(out[row]).max() < NOTHING}
    missing = tuple(query for query in references.names if query in absent)
    out[[row for row, query in enumerate(references.names) if query in absent]] = 0
    return Features(out, references.names, missing, references.model)
