"""Nucleus sampling without sorting the vocabulary, for engines that would on a CPU."""

import torch

from ipcir_steps.imagine.llm.decoding import FIRST


def nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """``logits`` [B, V], float, with -inf for all but the fewest most probable tokens that hold ``top_p`` (above 0, at
    most 1) of the probability.

    >>> nucleus(torch.tensor([[0.5, 0.2, 0.3]]).log(), 0.7).exp()
    tensor([[0.5000, 0.0000, 0.3000]])
    """
    total = logits.logsumexp(-1, keepdim=True)
    best, tokens = logits.topk(min(FIRST, logits.shape[-1]))
    kept = torch.full_like(logits, -torch.inf).scatter_(-1, tokens, _within(best, total, top_p))
    flat = ((best - total).exp().sum(-1) < top_p).nonzero()[:, 0]  # rows whose nucleus is larger
    if len(flat):
        best, tokens = logits[flat].sort(dim=-1, descending=True, stable=True)
        kept[flat] = torch.full_like(best, -torch.inf).scatter_(-1, tokens, _within(best, total[flat], top_p))
    return kept


def _within(best: torch.Tensor, total: torch.Tensor, top_p: float) -> torch.Tensor:
    """``best`` [B, N], falling, with -inf where those before hold ``top_p`` already. total [B, 1]: of all numbers."""
    probabilities = (best - total).exp()
    return best.masked_fill(probabilities.cumsum(-1) - probabilities >= top_p, -torch.inf)
