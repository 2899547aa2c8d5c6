"""Figures of single queries."""

from ipcir_steps.core.records import Query
from ipcir_steps.evaluate.reporting.examples import Example


def example(number, base, better):
    names = [str(n) for n in range(20)]
    lists = {
        variant: [*names[: rank - 1], "t", *names[rank - 1 :]] for variant, rank in (("base", base), ("rp_bm", better))
    }
    return Example(Query(f"q{number}", "r", ("c",), ("t",)), lists)


def test_a_figure_without_queries_says_so():
    from ipcir_steps.evaluate.reporting.examples import Collection
    from ipcir_steps.evaluate.reporting.figures import queries

    nothing = Collection([example(1, 1, 1)], {})
    for draw in (queries.failures, queries.ablation):
        figure = draw(nothing, 4, "photos")
        assert "no such query" in [text.get_text() for axis in figure.axes for text in axis.texts]
    remark = queries.failures(nothing, 4, "photos").get_supxlabel()
    assert "of the 0 queries of 1" in " ".join(remark.split()) and "\n" in remark
