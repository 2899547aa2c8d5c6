"""Ranked lists on disk."""

import json

import pytest
from pyarrow import parquet

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_json
from ipcir_steps.core.rankings import read_rankings, write_rankings
from ipcir_steps.core.records import Query
from ipcir_steps.core.scores import names_of

ROWS = [("q1", [("a", 0.75), ("b", 0.5)]), ("q0", [("b", 0.25)])]


def test_lists_come_back_and_the_same_rows_are_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_rankings(tmp_path / f"{name}.parquet", ROWS, {"variant": "rp", "lambda": 0.3})
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert read_rankings(tmp_path / "one.parquet") == {"q1": ["a", "b"], "q0": ["b"]}
    table = parquet.read_table(tmp_path / "one.parquet")
    assert table.to_pydict() == {
        "query_id": ["q1", "q1", "q0"], "rank": [1, 2, 1], "image": ["a", "b", "b"], "score": [0.75, 0.5, 0.25],
    }  # fmt: skip
    assert json.loads(table.schema.metadata[b"ipcir"]) == {"variant": "rp", "lambda": 0.3}


def test_no_lists_are_a_table_too(tmp_path):
    write_rankings(tmp_path / "r.parquet", [], {})
    assert read_rankings(tmp_path / "r.parquet") == {}


def test_damaged_and_foreign_rankings(tmp_path):
    (tmp_path / "r.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match="is not a rankings file"):
        read_rankings(tmp_path / "r.parquet")
    with pytest.raises(InputError, match="does not exist"):
        read_rankings(tmp_path / "none.parquet")
    write_json(tmp_path / "r.json", {"1": [5, 6], "version": "rc2"})
    assert read_rankings(tmp_path / "r.json") == {"1": ["5", "6"]}


def test_images_below_the_end_of_a_list_keep_their_places(tmp_path):
    rows = [("q1", [("a", 0.75), ("b", 0.5), ("c", 0.25, 5), ("d", 0.125, 6)]), ("q0", [("b", 0.25)])]
    write_rankings(tmp_path / "r.parquet", rows, {})
    assert parquet.read_table(tmp_path / "r.parquet")["rank"].to_pylist() == [1, 2, 5, 6, 1]
    found = read_rankings(tmp_path / "r.parquet")
    assert list(found["q1"]) == ["a", "b", None, None, "c", "d"] and found["q0"] == ["b"]
    assert len(found["q1"]) == 6 and found["q1"][:3] == ["a", "b", None] and found["q1"][-1] == "d"
    assert names_of(found, Query("q1", "r", ("c",))) == list(found["q1"])
