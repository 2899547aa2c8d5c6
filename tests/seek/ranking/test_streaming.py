"""Streamed ranking against whole float64 matrices."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcir_steps.core.errors import InputError
from ipcir_steps.seek.ranking import rank
from ipcir_steps.seek.ranking.streaming import Balance, block_rows, scan, top_sum

LAMBDAS = (0.0, 0.3, 1.0)


def _similar(rows, gallery):
    gallery = gallery.double()
    return rows.double() @ (gallery / gallery.norm(dim=1, keepdim=True)).T


def _scores(text, proxy, gallery, weight, combine):
    s_t, s_p = _similar(text, gallery), _similar(proxy, gallery)
    return weight * s_t + (1 - weight) * (s_t * s_p if combine == "product" else s_p)


def _assert_lists(scores, indices, got, k, gap=1e-5):
    """Scores to 1e-5 and the same image wherever its neighbours in the order are further away than ``gap``."""
    k = min(k, scores.shape[1])
    best, order = scores.sort(dim=1, descending=True, stable=True)
    for row in range(len(scores)):
        n = int(best[row, :k].isfinite().sum())
        assert indices[row, n:].tolist() == [-1] * (k - n)
        assert torch.allclose(got[row, :n].double(), best[row, :n], atol=1e-5, rtol=0)
        away = torch.full((scores.shape[1] + 1,), torch.inf, dtype=torch.float64)
        away[1:-1] = (best[row, :-1] - best[row, 1:]).nan_to_num(nan=0, posinf=torch.inf)
        clear = (away[:-1] > gap) & (away[1:] > gap)
        assert torch.equal(indices[row, :n][clear[:n]], order[row, :n][clear[:n]])


@pytest.mark.parametrize("combine", ["product", "sum"])
def test_each_query_may_have_its_own_lambda_in_every_tile(combine):
    draw = torch.Generator().manual_seed(1)
    text, proxy, gallery = (torch.randn(rows, 8, generator=draw) for rows in (900, 900, 1500))
    own = torch.rand(900, generator=draw)
    (indices, scores), *_ = scan(text, gallery, [Balance("p", (own, 0.3), combine)], {"p": proxy}, 7)
    for number, lam in enumerate((own[:, None], 0.3)):
        _assert_lists(_scores(text, proxy, gallery, lam, combine), indices[number], scores[number], 7)


@pytest.mark.parametrize("combine", ["product", "sum"])
@pytest.mark.parametrize(
    "queries, images, dims, k, block",
    [(7, 1000, 32, 50, 128), (1, 333, 16, 10, 64), (5, 1, 8, 50, 8192), (3, 40, 8, 50, 64), (520, 2500, 8, 5, 1024)],
)
def test_rank_is_equation_two(queries, images, dims, k, block, combine):
    draw = torch.Generator().manual_seed(queries)
    text, proxy = (torch.randn(queries, dims, generator=draw) for _ in range(2))
    gallery = torch.randn(images, dims, generator=draw)
    exclude = torch.randint(-1, images, (queries,), generator=draw)
    for hidden in (None, exclude):
        indices, scores = rank(text, gallery, k, proxy, LAMBDAS, hidden, combine=combine, block=block)
        assert indices.shape == scores.shape == (3, queries, min(k, images))
        for number, weight in enumerate(LAMBDAS):
            whole = _scores(text, proxy, gallery, weight, combine)
            if hidden is not None:
                rows = (hidden >= 0).nonzero().flatten()
                whole[rows, hidden[rows]] = -torch.inf
            _assert_lists(whole, indices[number], scores[number], k)


def test_long_gallery_crosses_blocks_and_tiles():
    draw = torch.Generator().manual_seed(0)
    text, proxy, gallery = (torch.randn(n, 8, generator=draw) for n in (3, 3, 20_000))
    indices, scores = rank(text, gallery, 50, proxy, (0.3,), block=2048)
    _assert_lists(_scores(text, proxy, gallery, 0.3, "product"), indices[0], scores[0], 50)


def test_without_proxy_the_text_ranks():
    text, gallery = torch.eye(3), torch.tensor([[0.0, 2, 0], [5, 0, 0], [1, 1, 0]])
    indices, scores = rank(text, gallery, k=2)
    assert indices.tolist() == [[[1, 2], [0, 2], [0, 1]]]
    assert scores[0, 0].tolist() == pytest.approx([1, 2**-0.5])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(1, 60), st.integers(0, 10**6), st.sampled_from([64, 128, 1024]))
def test_duplicates_come_in_gallery_order(images, k, seed, block):
    draw = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, 5, (images,), generator=draw)
    gallery = torch.randn(5, 16, generator=draw)[kinds]
    text = torch.randn(3, 16, generator=draw)
    indices, _ = rank(text, gallery, k, text, (0.0, 0.5), block=block)
    for row in indices.reshape(-1, indices.shape[-1]):
        for kind in range(5):
            same = [i for i in row.tolist() if kinds[i] == kind]
            expected = (kinds == kind).nonzero().flatten().tolist()
            assert same == expected[: len(same)]


def test_results_do_not_depend_on_the_block():
    draw = torch.Generator().manual_seed(0)
    text, proxy, gallery = (torch.randn(n, 32, generator=draw) for n in (20, 20, 9000))
    one = rank(text, gallery, 50, proxy, LAMBDAS, block=512)
    other = rank(text, gallery, 50, proxy, LAMBDAS, block=8192)
    assert torch.equal(one[0], other[0]) and torch.allclose(one[1], other[1], atol=1e-6)


def test_rising_scores_fill_every_block():
    # The worst order for a running top-k: every block beats all before it.
    angle = torch.linspace(1.5, 0.1, 12_000, dtype=torch.float64)
    gallery = torch.stack([angle.cos(), angle.sin()], 1).float()
    indices, _ = rank(torch.tensor([[1.0, 0.0]]).repeat(40, 1), gallery, 50, block=1024)
    assert torch.equal(indices[0], torch.arange(11_999, 11_949, -1).repeat(40, 1))


def test_parts_mix_linearly():
    draw = torch.Generator().manual_seed(0)
    text, one, two = (torch.randn(6, 16, generator=draw) for _ in range(3))
    gallery, each = torch.randn(900, 16, generator=draw), torch.rand(6, 1, generator=draw)
    mixed = scan(text, gallery, [Balance({"one": 0.5, "two": each}, (0.3,))], {"one": one, "two": two}, 9)
    fused = rank(text, gallery, 9, 0.5 * one + each * two, (0.3,))
    assert torch.equal(mixed[0][0], fused[0]) and torch.allclose(mixed[0][1], fused[1], atol=1e-5)


def test_subset_gives_gallery_rows():
    draw = torch.Generator().manual_seed(0)
    text, gallery = torch.randn(4, 8, generator=draw), torch.randn(300, 8, generator=draw)
    subset = list(range(1, 300, 3))
    exclude = torch.tensor([-1, 4, 5, 298])
    indices, scores = scan(text, gallery, [Balance()], k=200, exclude=exclude, subset=subset)[0]
    whole = torch.full((4, 300), -torch.inf, dtype=torch.float64)
    whole[:, subset] = _similar(text, gallery)[:, subset]
    for row, hidden in enumerate(exclude.tolist()):
        if hidden >= 0:
            whole[row, hidden] = -torch.inf
    _assert_lists(whole[:, subset], torch.where(indices < 0, -1, (indices - 1) // 3)[0], scores[0], 200)
    assert 4 not in indices[0, 1] and 298 not in indices[0, 3]


def test_top_sum_is_ldre_statistic():
    draw = torch.Generator().manual_seed(0)
    for images, k in ((1500, 50), (20, 50), (9000, 5)):
        differences, gallery = torch.randn(6, 4, 16, generator=draw), torch.randn(images, 16, generator=draw)
        whole = (-_similar(differences.reshape(24, 16), gallery)).clamp(min=0)
        expected = whole.topk(min(k, images)).values.sum(1).view(6, 4)
        got = top_sum(differences, gallery, k, block=1024)
        assert torch.allclose(got.double(), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("where", ["text", "proxy", "gallery"])
@pytest.mark.parametrize(
    "value, message", [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (0, "zero vector")]
)
def test_bad_rows_are_named(where, value, message):
    parts = {"text": torch.ones(3, 4), "proxy": torch.ones(3, 4), "gallery": torch.ones(9000, 4)}
    row = 8999 if where == "gallery" else 2
    parts[where][row] = value
    with pytest.raises(InputError, match=f"record {row}: field '{where}': .*{message}"):
        rank(parts["text"], parts["gallery"], proxy=parts["proxy"])


def test_tiny_and_huge_rows_are_not_bad():
    gallery = torch.tensor([[1e-30, 0, 0], [0, 1e30, 1e30], [0, 0, 1.0]])
    _, scores = rank(torch.tensor([[1.0, 0, 0], [0, 1, 1]]), gallery, 1)
    assert scores[0].flatten().tolist() == pytest.approx([1, 2**0.5])


def test_other_dimensions_are_refused():
    with pytest.raises(InputError, match=r"field 'text': has shape \[2, 3\], not \[rows, 4\]"):
        rank(torch.ones(2, 3), torch.ones(5, 4))
    with pytest.raises(InputError, match="field 'proxy': has 3 rows, text has 2"):
        rank(torch.ones(2, 4), torch.ones(5, 4), proxy=torch.ones(3, 4))
    with pytest.raises(InputError, match="exclude"):
        rank(torch.ones(2, 4), torch.ones(5, 4), exclude=[0, 5])


def test_memory_bound_sets_the_block_or_refuses():
    limits = {"memory_mb": 1000, "block": 1 << 20}
    assert 64 <= block_rows(1024, 1600, 800, 50, limits) < block_rows(1024, 1600, 800, 50, limits | {"memory_mb": 2000})
    with pytest.raises(InputError, match=r"memory_mb.*is 300, this needs"):
        block_rows(1024, 1600, 800, 50, {"memory_mb": 300})
