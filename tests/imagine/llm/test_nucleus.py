"""The nucleus without a sorted vocabulary is the nucleus."""

import pytest
import torch

from ipcir_steps.imagine.llm.decoding import FIRST
from ipcir_steps.imagine.llm.nucleus import nucleus


@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.8, 0.999, 1.0])
@pytest.mark.parametrize("sharpness", [0.01, 1.0, 8.0])
def test_it_holds_the_fewest_most_probable_tokens(top_p, sharpness):
    logits = torch.randn(9, 5 * FIRST, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * sharpness
    kept = nucleus(logits, top_p)
    for before, after in zip(logits, kept, strict=True):
        chosen = after > -torch.inf
        assert torch.equal(after[chosen], before[chosen])
        probabilities = before.softmax(-1)
        mass = probabilities[chosen].sum()
        assert mass - probabilities[chosen].min() - 1e-12 < top_p <= mass + 1e-12
        assert chosen.all() or probabilities[chosen].min() >= probabilities[~chosen].max()


def test_tokens_that_a_grammar_forbids_stay_forbidden():
    logits = torch.full((2, 3 * FIRST), -torch.inf)
    logits[0, 7], logits[1, :FIRST] = 0.0, 0.0
    kept = nucleus(logits, 0.8)
    assert (kept[0] > -torch.inf).nonzero().tolist() == [[7]]
    assert (kept[1] > -torch.inf).sum() == round(0.8 * FIRST + 0.5) and (kept[1, FIRST:] == -torch.inf).all()
