"""The running top-k."""

import torch

from ipcir_steps.seek.ranking.topk import TopK


def test_top_k_keeps_nothing_below_the_floor():
    best = TopK(2, 3, floor=0.0)
    best.add(torch.tensor([[-1.0, 2.0] + [-5.0] * 14, [0.0] * 16]), 0, 0)
    best.merge()
    assert best.scores.tolist() == [[2, 0, 0], [0, 0, 0]] and best.indices.tolist() == [[1, -1, -1], [-1, -1, -1]]
