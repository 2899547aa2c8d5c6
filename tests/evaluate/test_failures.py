"""Why a query has no proxy: the first step that failed."""

from ipcir_steps.evaluate import failures


def test_failures_keep_the_first_reason(tmp_path):
    for step, query in (("captions", "1"), ("layouts", "1"), ("layouts", "2")):
        path = tmp_path / f"{step}.failures.jsonl"
        old = path.read_text() if path.exists() else ""
        path.write_text(old + f'{{"query_id": "{query}", "failure": "{step} failed"}}\n')
    found = failures.collect([tmp_path / "captions.failures.jsonl", tmp_path / "layouts.failures.jsonl"])
    assert [(f["query_id"], f["step"]) for f in found] == [("1", "captions"), ("2", "layouts")]
