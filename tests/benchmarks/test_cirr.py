"""CIRR's scores by hand."""

import pytest

from ipcir_steps.benchmarks import cirr
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query


def test_cirr_by_hand():
    queries = [
        Query("1", "r", ["c"], ["t"], group=["t", "u", "v", "w", "x"]),
        Query("2", "r", ["c"], ["t"], group=["t", "u", "v", "w", "x"]),
    ]
    rankings = {"1": ["r", "t", "u"], "2": ["n", "u", "v", "r", "w", "m", "t", "x"]}
    values = cirr.total(rankings, queries)
    assert values["recall@1"] == 0.5  # the reference on top of query 1 is removed
    assert values["recall@5"] == 0.5  # query 2: n u v w m | t
    assert values["recall@10"] == 1.0
    assert [values[f"recall_subset@{k}"] for k in (1, 2, 3)] == [0.5, 0.5, 0.5]
    assert values["average"] == 0.5
    subset = {"1": ["u", "t"], "2": ["v", "t", "u"]}
    assert [cirr.total(rankings, queries, subset)[f"recall_subset@{k}"] for k in (1, 2)] == [0, 1]


def test_a_subset_list_may_not_name_a_member_twice():
    query = Query("1", "r", ["c"], ["t"], group=["t", "u"])
    with pytest.raises(InputError, match="lists u twice"):
        cirr.total({"1": ["t", "u"]}, [query], {"1": ["u", "u", "t"]})
