"""The rules that choose lambda, on features where the best one is known to move."""

import pytest
import torch

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.core.records import Query
from ipcir_steps.evaluate.tuning.choose import agreed, best, matched_spread, per_variant


def test_of_equal_values_the_greatest_lambda_is_chosen_in_whatever_order_the_grid_is():
    assert best([0.5, 0.5, 0.2], (0.7, 0.3, 0.9)) == {"lambda": 0.7, "value": 0.5}


def test_each_variant_is_chosen_by_its_own_curve():
    queries = [Query("q", "r", ("c",), ("right",))]
    hit, miss = [("right", 1.0)], [("wrong", 1.0), ("right", 0.5)]
    rankings = {"rp_bm": [[("q", hit)], [("q", miss)]], "other_proxy": [[("q", miss)], [("q", hit)]]}
    found = per_variant(rankings, queries, BENCHMARKS["circo"], "mAP@5", (0.0, 1.0))
    assert found["curves"] == {"rp_bm": [1.0, 0.5], "other_proxy": [0.5, 1.0]}
    chosen = {variant: choice["lambda"] for variant, choice in found["chosen"].items()}
    assert chosen == {"base": 1.0, "rp_bm": 0.0, "other_proxy": 1.0}


def test_matched_spread_balances_both_terms():
    draw = torch.Generator().manual_seed(0)
    text, proxy, gallery = (torch.randn(rows, 16, generator=draw) for rows in (40, 40, 3000))
    value = matched_spread(text, proxy, gallery)
    unit = torch.nn.functional.normalize(gallery, dim=1)
    a, b = text @ unit.T, (text @ unit.T) * (proxy @ unit.T)
    assert float((value * a).std(1).median()) == pytest.approx(float(((1 - value) * b).std(1).median()), rel=1e-3)
    assert matched_spread(text, proxy, gallery.numpy()) == value


def test_agreed_follows_the_clearer_side():
    draw = torch.Generator().manual_seed(0)
    # All images share a direction, as CLIP's do, so similarities are positive.
    gallery = torch.randn(3000, 32, generator=draw) + 2
    right = torch.nn.functional.normalize(gallery[:80], dim=1)
    noise = [torch.randn(80, 32, generator=draw) / 32**0.5 for _ in range(2)]
    clear_text = agreed(right + 0.2 * noise[0], right + 3 * noise[1], gallery)
    clear_proxy = agreed(right + 3 * noise[0], right + 0.2 * noise[1], gallery)
    assert 0 <= clear_proxy < clear_text <= 1
    # The length of the proxy, which is arbitrary, only moves lambda; the order of the images stays as good.
    other = agreed(right + 0.2 * noise[0], 4 * (right + 3 * noise[1]), gallery)
    assert other > clear_text
