"""Intervals and the result file."""

import numpy as np
import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_json, write_jsonl
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.core.statistics import paired_interval
from ipcir_steps.evaluate import failures, results
from ipcir_steps.evaluate.metrics import score
from ipcir_steps.evaluate.reporting.figures.scores import scores
from ipcir_steps.imagine import gather

QUERIES = [Query(str(i), f"r{i}", ("x",), targets=(f"t{i}",)) for i in range(40)]


def test_interval_matches_the_normal_approximation():
    generator = np.random.default_rng(1)
    base, other = generator.standard_normal((2, 2000))
    value, low, high = paired_interval(base, other + 0.2, np.zeros(2000), seed=0, resamples=4000)
    error = (other - base).std() / np.sqrt(2000)
    assert value == pytest.approx((other - base).mean() + 0.2)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.08)


def test_identical_methods_have_no_interval():
    values = np.random.default_rng(0).random(50)
    assert paired_interval(values, values, np.zeros(50), seed=0) == (0, 0, 0)


def test_strata_count_alike_whatever_their_size():
    base, strata = np.zeros(110), np.array([0] * 100 + [1] * 10)
    other = np.where(strata == 1, 1.0, 0.0)
    assert paired_interval(base, other, strata, seed=0) == (0.5, 0.5, 0.5)


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


def test_result_file(tmp_path):
    collected = result(tmp_path, {"base": 10, "rp_bm": 30})
    base, ours = collected["entries"]
    assert base["metrics"]["recall@1"] == 0.25 and base["difference"] == {}
    change = ours["difference"]["recall@1"]
    assert change["value"] == 0.5 and 0.3 < change["low"] < 0.5 < change["high"] < 0.7
    assert collected["failures"] == {"queries": 1, "by_step": {"layouts": 1}}
    text = results.table(collected)
    assert "75.00" in text and "1 failed (1 in layouts)" in text
    assert result(tmp_path, {"base": 10, "rp_bm": 30}) == collected


def test_a_variant_without_its_base_is_refused(tmp_path):
    with pytest.raises(InputError, match="no base.metrics.json for ViT/ldre"):
        result(tmp_path, {"rp_bm": 30})


def test_figure_has_a_bar_per_variant(tmp_path):
    drawn = scores(result(tmp_path, {"base": 10, "pi": 12, "rp_bm": 30}))
    widths = [patch.get_width() for patch in drawn.axes[0].patches]
    assert widths == [25.0, 30.0, 75.0]


def test_gather_spreads_images_over_queries_and_splits_failures():
    queries = [Query("1", "a", ("x",)), Query("2", "b", ("x",)), Query("3", "a", ("y",))]
    records = [{"reference": "b", "failure": "unreadable"}, {"reference": "a", "captions": ["c"]}]
    done, failed = gather.gather(queries, records, "reference")
    assert done == [{"query_id": "1", "captions": ["c"]}, {"query_id": "3", "captions": ["c"]}]
    assert failed == [{"query_id": "2", "failure": "unreadable"}]
    with pytest.raises(InputError, match="no shard has a record for reference 'a'"):
        gather.gather(queries, records[:1], "reference")


def test_failures_keep_the_first_reason(tmp_path):
    for step, query in (("captions", "1"), ("layouts", "1"), ("layouts", "2")):
        path = tmp_path / f"{step}.failures.jsonl"
        old = path.read_text() if path.exists() else ""
        path.write_text(old + f'{{"query_id": "{query}", "failure": "{step} failed"}}\n')
    found = failures.collect([tmp_path / "captions.failures.jsonl", tmp_path / "layouts.failures.jsonl"])
    assert [(f["query_id"], f["step"]) for f in found] == [("1", "captions"), ("2", "layouts")]
