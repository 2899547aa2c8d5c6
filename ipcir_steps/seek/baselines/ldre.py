"""LDRE (Yang et al., SIGIR 2024): an ensemble of target captions, weighted by what they move away from."""

import logging

import numpy as np
import torch
from torch.nn.functional import normalize

from ipcir_steps.config.baselines import LDRE
from ipcir_steps.core.errors import InputError
from ipcir_steps.seek.baselines.inputs import Inputs
from ipcir_steps.seek.ranking.streaming import top_sum

log = logging.getLogger(__name__)


def ensemble(
    target, source, gallery, k: int = 50, temperature: float = 0.01, scope: str = "dataset"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted target captions of every query (repository yzy-bupt/LDRE, as used by IP-CIR on CIRCO).

    v_c = sum over the queries of the k largest entries of max(-(t_c - o_c) g^T, 0); the weights are
    softmax_c(v_c / max v / temperature); the text feature is sum_c weights_c t_c, not normalised again.

    target, source: [C, Q, D] un-normalised features of the target and source captions; gallery: [G, D] tensor or
    memory-mapped array, read in blocks (``ranking.streaming.top_sum``). scope "dataset" (published): v is
    summed over all queries, so a query's feature depends on the others; "query": each query has its own v. Queries
    with a zero vector on either side (missing captions) do not count in v. Returns (text float32 [Q, D], weights
    float32 [C], or [C, Q] per query).
    """
    target, source = (torch.as_tensor(part).float() for part in (target, source))
    if target.shape != source.shape:
        raise InputError(f"target captions are {tuple(target.shape)}, source captions {tuple(source.shape)}")
    if scope not in ("dataset", "query"):
        raise ValueError(f"scope {scope!r}: use 'dataset' or 'query'")
    complete = target.any(-1) & source.any(-1)
    target = normalize(target, dim=-1)
    difference = (target - normalize(source, dim=-1)) * complete.unsqueeze(-1)
    values = top_sum(difference.transpose(0, 1), gallery, k).double().T
    values = values.sum(1) if scope == "dataset" else values
    largest = values.amax(0, keepdim=True)
    scaled = values / torch.where(largest > 0, largest, 1)
    # Where no caption moves away from anything, all weigh the same.
    weights = torch.softmax(scaled.float() / temperature, 0)
    text = torch.einsum("c,cqd->qd" if scope == "dataset" else "cq,cqd->qd", weights, target)
    return text, weights


def mean_caption(target) -> torch.Tensor:
    """[C, Q, D] raw caption features → float32 [Q, D]: the normalised mean (LDRE on CIRR)."""
    return normalize(torch.as_tensor(target).float().mean(0), dim=-1)


def text_features(inputs: Inputs, settings: LDRE) -> tuple[np.ndarray, set[str]]:
    """The baseline. With ``increment`` m > 0 the feature is t + m (t - o), as in SEIZE: the similarity then is
    S_target + m (S_target - S_source)."""
    target, missing = inputs.features("target_captions")
    method = settings.method
    if method == "published":
        method = "ensemble" if inputs.benchmark == "circo" else "mean"
    target = torch.from_numpy(np.array(target)).transpose(0, 1)
    source = None
    if method == "ensemble" or settings.increment:
        values, without_source = inputs.features("source_captions")
        source = torch.from_numpy(np.array(values)).transpose(0, 1)
    if method == "mean":
        text, before = mean_caption(target), None if source is None else mean_caption(source)
    else:
        text, weights = ensemble(
            target, source, inputs.gallery(), settings.k, settings.temperature, settings.scope
        )  # fmt: skip
        form = "c,cqd->qd" if settings.scope == "dataset" else "cq,cqd->qd"
        before = torch.einsum(form, weights, normalize(source, dim=-1)) if settings.increment else None
        if settings.scope == "dataset":
            log.info("caption weights: %s", " ".join(f"{weight:.4f}" for weight in weights.tolist()))
    if before is not None:
        missing = missing | without_source
        text = text + settings.increment * (text - before)
    return text.numpy(), missing
