"""The kernels of the scores, and what a ranking may not be."""

import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query
from ipcir_steps.core.scores import average_precision, mean, names_of, pairs, recall

QUERY = Query("7", "r", ["c"], ["5"])


def test_more_relevant_images_than_k_divide_by_k():
    assert average_precision(["a", "b"], list("abcdefgh"), 2) == 1.0


def test_recall_is_all_or_nothing():
    assert [recall(["a", "t"], "t", k) for k in (1, 2, 3)] == [0.0, 1.0, 1.0]


def test_a_list_that_names_an_image_twice_is_refused_by_query_and_image():
    with pytest.raises(InputError, match=r"record 7: field 'ranking': lists 5 twice"):
        names_of({"7": [5, 4, "5"]}, QUERY)
    with pytest.raises(InputError, match="lists 5 twice"):
        list(pairs({"7": [5] * 5}, [QUERY]))
    assert names_of({"7": [5, 4]}, QUERY) == ["5", "4"] and names_of({}, QUERY) == []


def test_queries_without_targets_and_no_queries_are_refused():
    with pytest.raises(InputError, match="no queries to score"):
        list(pairs({}, []))
    with pytest.raises(InputError, match="ipcir submission write"):
        list(pairs({}, [Query("7", "r", ["c"])]))


def test_a_metric_is_averaged_over_the_queries_that_have_it():
    assert mean({"1": {"a": 1.0, "b": 0.5}, "2": {"a": 0.0}}) == {"a": 0.5, "b": 0.5}
