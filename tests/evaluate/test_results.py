"""The result file: metrics, differences with intervals, failures."""

import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_json, write_jsonl
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.evaluate import results
from ipcir_steps.evaluate.metrics import score

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


def test_result_file(tmp_path):
    collected = result(tmp_path, {"base": 10, "rp_bm": 30})
    base, ours = collected["entries"]
    assert base["metrics"]["recall@1"] == 0.25 and base["difference"] == {}
    change = ours["difference"]["recall@1"]
    assert change["value"] == 0.5 and 0.3 < change["low"] < 0.5 < change["high"] < 0.7
    assert collected["failures"] == {"queries": 1, "by_step": {"layouts": 1}}
    text = results.table(collected)
    assert "paired bootstrap over the queries" in text
    assert "75.00" in text and "1 failed (1 in layouts)" in text
    assert "Δ recall@1 [95 %]" in text and "Δ mAP@10 [95 %]" in text and text.count("+50.00 [") == 2
    assert result(tmp_path, {"base": 10, "rp_bm": 30}) == collected
    base["paraphrases"] = {}  # where a request stands in several wordings, these are resampled together
    assert "paired bootstrap over the requests" in results.table(collected)


def test_a_variant_without_its_base_is_refused(tmp_path):
    with pytest.raises(InputError, match="no base.metrics.json for ViT/ldre"):
        result(tmp_path, {"rp_bm": 30})


def test_a_text_side_with_captions_is_compared_with_the_one_without(tmp_path):
    """Each variant with the same variant of the baseline that the captions join."""
    result(tmp_path, {"base": 10, "rp_bm": 30})
    for variant in ("base", "rp_bm"):
        rankings = {q.query_id: [q.targets[0] if i < 20 else "x"] for i, q in enumerate(QUERIES)}
        write_json(tmp_path / f"ViT/ldre_captioned/{variant}.metrics.json", score(rankings, QUERIES, "folder"))
    paths = sorted(tmp_path.glob("ViT/*/*.metrics.json"))
    files = (tmp_path / "queries.jsonl", tmp_path / "failures.jsonl")
    collected = results.collect("mine", paths, *files, results.Results(resamples=500))
    told = {(e["baseline"], e["variant"]): e.get("captions") for e in collected["entries"]}
    assert told["ldre", "base"] is None and told["ldre", "rp_bm"] is None
    for variant, change in (("base", 0.25), ("rp_bm", -0.25)):
        found = told["ldre_captioned", variant]
        assert found["baseline"] == "ldre" and found["difference"]["recall@1"]["value"] == change
    assert "ViT ldre_captioned rp_bm, mAP@10: -25.00 [" in results.table(collected)
    alone = [path for path in paths if "captioned" in str(path)]
    collected = results.collect("mine", alone, *files, results.Results(resamples=500))
    assert not any("captions" in entry for entry in collected["entries"])
