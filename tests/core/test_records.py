"""The records that steps hand to each other are what they were, or their line is named."""

import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Image, Query, read_captions, read_images, read_queries, write_records

QUERIES = [
    Query("1", "a b.png", ("is “red”", "has a\nbow"), ("t",), ("x", "y"), "dress", ("colour",)),
    Query("2", "a b.png", ("no target",)),
]
IMAGES = [Image("a", "d/a.png", 3, 4, ("dress", "shirt")), Image("b", "b.png")]


def test_what_is_written_is_read(tmp_path):
    write_records(tmp_path / "queries.jsonl", QUERIES)
    write_records(tmp_path / "images.jsonl", IMAGES)
    assert read_queries(tmp_path / "queries.jsonl") == QUERIES and QUERIES[0].caption == "is “red” and has a\nbow"
    assert read_images(tmp_path / "images.jsonl") == IMAGES
    assert '"targets"' not in (tmp_path / "queries.jsonl").read_text().splitlines()[1]  # hidden, which is not empty


def test_lists_become_what_can_be_hashed():
    assert Query("1", "r", ["a"], ["t"]) == Query("1", "r", ("a",), ("t",)) and len({Query("1", "r", ["a"])}) == 1


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('{"query_id": "1", "reference": "r", "captions": ["x"]}', r"queries.jsonl.*'1'"),
        ('{"query_id": "2", "captions": ["x"]}', r"queries.jsonl.*(2|reference)"),
        ('{"query_id": "2", "reference": "r", "captions": ["x"], "taget": 1}', r"queries.jsonl.*(2|taget)"),
        ('{"query_id": ', r"queries.jsonl.*2"),
    ],
    ids=["twice", "incomplete", "unknown", "cut"],
)
def test_a_wrong_record_is_named(tmp_path, second, message):
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query_id": "1", "reference": "r", "captions": ["x"]}\n' + second + "\n")
    with pytest.raises(InputError, match=message):
        read_queries(path)


def test_captions_leave_failures_out(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"query_id": "1", "captions": ["a"]}\n{"query_id": "2", "failure": "dark"}\n')
    assert read_captions(tmp_path / "c.jsonl") == {"1": ["a"]}
