"""Queries are shown for what they show."""

import pytest

from ipcir_steps.core.records import Query
from ipcir_steps.evaluate.reporting.examples import Example, lost, told, won
from ipcir_steps.evaluate.reporting.figures.queries import place


def example(number, base, better):
    names = [str(n) for n in range(20)]
    lists = {
        variant: [*names[: rank - 1], "t", *names[rank - 1 :]] for variant, rank in (("base", base), ("rp_bm", better))
    }
    return Example(Query(f"q{number}", "r", ("c",), ("t",)), lists)


def test_examples_are_chosen_by_what_they_show():
    given = [example(0, 3, 3), example(1, 10, 1), example(2, 1, 8), example(3, 4, 2)]
    assert [e.query.query_id for e in won(given, 2)] == ["q1", "q3"]
    assert [e.query.query_id for e in lost(given, 9)] == ["q2", "q0", "q3"]
    assert [e.query.query_id for e in told(given, 9)] == ["q1"]
    assert given[1].gain() == pytest.approx(0.9) and place(given[1], "base") == "target at 10"
    assert place(Example(Query("q", "r", ("c",), ("x",)), {"base": ["a"]}), "base") == "target below 1"
