"""The mix of ranking and judgement."""

import numpy as np
import pytest

from ipcir_steps.verify.combine import Mix, mixed, odds_of, reordered

LIST = [("a", 0.9), ("b", 0.8), ("c", 0.5), ("d", 0.4), ("e", 0.1)]
ODDS = {("a", "b", "c", "d"): {"a": -3.0, "b": 1.0, "c": 9.0, "d": 0.0}}


@pytest.mark.parametrize("temperature", [None, 0.5, 4.0])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_formula(weight, temperature):
    scores, odds = np.array([3.0, 2.5, 1.0, 0.2]), np.array([-8.0, 1.0, 30.0, 2.0])
    spread = odds.std() if temperature is None else temperature
    expected = (1 - weight) * (scores - scores.mean()) / scores.std() + weight * (odds - odds.mean()) / spread
    assert mixed(scores.tolist(), odds.tolist(), Mix(weight, temperature)) == pytest.approx(expected.tolist())


def test_only_the_first_move_and_scores_fall():
    new = reordered(LIST, ODDS, 3, Mix(1.0))
    assert [entry[0] for entry in new] == ["c", "b", "a", "d", "e"] and new[3:] == LIST[3:]
    scores = [entry[1] for entry in new]
    assert scores == sorted(scores, reverse=True)
    assert [entry[0] for entry in reordered(LIST, ODDS, 4, Mix(0.0))] == list("abcde")


def test_targets_below_the_end_keep_their_places():
    whole = [("a", 0.9, 1), ("b", 0.8, 2), ("d", 0.1, 9)]
    assert reordered(whole, ODDS, 4, Mix(1.0))[-1] == ("d", 0.1, 9)


def test_a_candidate_without_a_judgement_leaves_the_list_as_it_is():
    assert reordered(LIST, ODDS, 5, Mix(1.0)) is None and reordered([], ODDS, 5, Mix(1.0)) is None
    failed = {("a", "b"): {"a": None, "b": 1.0}}
    assert reordered(LIST, failed, 2, Mix(1.0)) is None and reordered(LIST, {}, 2, Mix(1.0)) is None


def test_the_smallest_set_that_holds_all_counts():
    sets = {("a", "b", "c"): {"a": 1.0, "b": 2.0, "c": 3.0}, ("a", "b"): {"a": 5.0, "b": 6.0}}
    assert odds_of(["b", "a"], sets) == [6.0, 5.0] and odds_of(["c"], sets) == [3.0]


def test_no_spread_counts_nothing():
    assert mixed([1.0, 1.0], [2.0, 2.0], Mix(0.5)) == [0.0, 0.0]
