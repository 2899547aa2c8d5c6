"""Reciprocal rank fusion, against a computation by hand over the whole gallery."""

import argparse

import pytest
import torch

from ipcir_steps.config.retrieval import Ranking
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query
from ipcir_steps.seek.ranking import command, rrf
from ipcir_steps.seek.ranking.inputs import RetrievalInputs
from ipcir_steps.seek.ranking.lists import rank_gallery, rank_subsets


@pytest.fixture
def inputs() -> RetrievalInputs:
    generator = torch.Generator().manual_seed(0)
    gallery, text, proxy = (torch.randn(n, 8, generator=generator) for n in (40, 3, 3))
    names = [f"i{n}" for n in range(40)]
    queries = [Query(f"q{n}", "i0", ("x",), group=("i3", "i9", "i4") if n else None) for n in range(3)]
    return RetrievalInputs(
        queries=queries, names=names, text=text, gallery=gallery, proxies={"rp": proxy},
        without={"rp": frozenset(["q2"])}, exclude=torch.tensor([-1, 7, -1]),
    )  # fmt: skip


def by_hand(inputs, query: int, lam: float, rows, k: int = 60) -> dict[int, float]:
    found = dict.fromkeys(rows, 0.0)
    gallery = torch.nn.functional.normalize(inputs.gallery, dim=1)
    for side, weight in ((inputs.text, lam), (inputs.proxies["rp"], 1 - lam)):
        similar = gallery @ side[query]
        for rank, row in enumerate(sorted(rows, key=lambda row: -float(similar[row])), 1):
            found[row] += weight / (k + rank)
    return found


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_the_lists_are_those_of_the_formula(inputs, lam):
    ranked = rank_gallery(inputs, {"base": (1.0,), "rrf": (lam, 0.5)}, Ranking(k=6))
    for query in (0, 1):
        rows = [row for row in range(40) if (query, row) != (1, 7)]
        expected = by_hand(inputs, query, lam, rows)
        best = sorted(rows, key=lambda row: -expected[row])[:6]
        found = dict(ranked["rrf"][0])[f"q{query}"]
        assert [score for _, score in found] == pytest.approx([expected[row] for row in best], abs=1e-7)
        assert lam == 0.3 or [name for name, _ in found] == [f"i{row}" for row in best]
    assert dict(ranked["rrf"][0])["q2"] == dict(ranked["base"][0])["q2"], "without a proxy the text alone ranks"


def test_the_constant_is_that_of_the_settings(inputs):
    """Both for the gallery and for image sets; with another one the order is another."""
    ranked = dict(rank_gallery(inputs, {"base": (1.0,), "rrf": (0.5,)}, Ranking(k=6), rrf_k=1)["rrf"][0])
    expected = by_hand(inputs, 0, 0.5, range(40), k=1)
    best = sorted(expected.values(), reverse=True)[:6]
    assert [score for _, score in ranked["q0"]] == pytest.approx(best, abs=1e-7)
    found = dict(rank_subsets(inputs, {"base": 1.0, "rrf": 0.4}, rrf_k=1)["rrf"])
    expected = by_hand(inputs, 1, 0.4, [3, 9, 4], k=1)
    assert dict(found["q1"]) == pytest.approx({f"i{n}": v for n, v in expected.items()})


def test_a_gallery_in_blocks_gives_the_same_lists(inputs):
    lams = {"base": (1.0,), "rrf": (0.3,)}
    whole, blocks = (rank_gallery(inputs, lams, Ranking(k=6, block=block)) for block in (40, 7))
    assert blocks["rrf"] == whole["rrf"] and [query for query, _ in whole["rrf"][0]] == ["q0", "q1", "q2"]


def test_its_lambda_is_its_own_unless_one_is_chosen(tmp_path):
    """``--lambda`` was published for similarities; ranks count alike, as in the original."""
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    needed = "--text t --gallery g --queries q --gallery-images i --output-dir o --variants rp_bm rrf --lambda 0.1"
    args = parser.parse_args(needed.split())
    assert command.rank_fusions(args) == {"rrf": 0.5}
    args.rrf_lambda = 1.5
    with pytest.raises(InputError, match="--rrf-lambda.*not within"):
        command.rank_fusions(args)
    args.lambda_file = tmp_path
    assert command.rank_fusions(args) == {}


def test_image_sets_are_fused_among_themselves(inputs):
    found = dict(rank_subsets(inputs, {"base": 1.0, "rrf": 0.4})["rrf"])
    expected = by_hand(inputs, 1, 0.4, [3, 9, 4])
    assert dict(found["q1"]) == pytest.approx({f"i{n}": v for n, v in expected.items()})


def test_an_image_below_the_depth_of_a_side_has_no_share_of_it():
    sides = torch.tensor([[3, 1, -1]]), torch.tensor([[2, 3, 1]])
    indices, scores = rrf.fused(*sides, [0.5], 4)
    assert indices.tolist() == [[[3, 1, 2, -1]]]
    shares = [0.5 / 61 + 0.5 / 62, 0.5 / 62 + 0.5 / 63, 0.5 / 61]
    assert scores[0, 0, :3].tolist() == pytest.approx(shares) and scores[0, 0, 3] == -torch.inf
