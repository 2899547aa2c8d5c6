"""Bars of the variants, and the controls."""

import pytest

from ipcir_steps.core.files import write_json, write_jsonl
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.evaluate import results
from ipcir_steps.evaluate.metrics import score
from ipcir_steps.evaluate.reporting.figures.scores import controls, scores

QUERIES = [Query(str(i), f"r{i}", ("x",), targets=(f"t{i}",)) for i in range(40)]


def result(tmp_path, hits):
    write_records(tmp_path / "queries.jsonl", QUERIES)
    write_jsonl(tmp_path / "failures.jsonl", [{"query_id": "3", "step": "layouts", "failure": "none"}])
    paths = []
    for variant, count in hits.items():
        rankings = {q.query_id: [q.targets[0] if i < count else "x"] for i, q in enumerate(QUERIES)}
        paths.append(tmp_path / "ViT/ldre" / f"{variant}.metrics.json")
        write_json(paths[-1], score(rankings, QUERIES, "folder"))
    settings = results.Results(resamples=500)
    return results.collect("mine", paths, tmp_path / "queries.jsonl", tmp_path / "failures.jsonl", settings)


def test_figure_has_a_bar_per_variant(tmp_path):
    drawn = scores(result(tmp_path, {"base": 10, "pi": 12, "rp_bm": 30}))
    widths = [patch.get_width() for patch in drawn.axes[0].patches]
    assert widths == [25.0, 30.0, 75.0]


def test_controls_are_compared_in_the_metric_that_decides(tmp_path):
    drawn = controls([result(tmp_path, {"base": 10, "rp_bm": 30, "no_proxy": 12})])
    assert drawn.axes[0].get_xlabel().startswith("mAP@10:")
    # One target each: mAP@10 of a hit in the first place is 1.
    gains = [line.get_xdata()[0] for line in drawn.axes[0].lines if line.get_marker() in "os^D"]
    assert gains == pytest.approx([50, 5])
