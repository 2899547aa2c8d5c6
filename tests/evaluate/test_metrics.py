import json
import random
import subprocess
import sys

import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcir_steps.benchmarks import folder
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.rankings import write_rankings
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.core.scores import average_precision
from ipcir_steps.evaluate import metrics

IMAGES = [f"i{n}" for n in range(30)]


def test_the_reference_stays_on_circo_and_fashioniq():
    ranking = {"1": ["r", *IMAGES[:9], "t"]}
    assert metrics.fashioniq(ranking, [Query("1", "r", ["c"], ["t"], category="dress")])["recall@10"] == 0
    assert metrics.circo(ranking, [Query("1", "r", ["c"], ["t"])])["recall@10"] == 0


def test_a_query_without_a_ranking_counts_as_zero():
    queries = [Query("1", "r", ["c"], ["t"]), Query("2", "r", ["c"], ["t"])]
    assert folder.total({"1": ["t"]}, queries)["recall@1"] == 0.5
    report = metrics.score({"1": ["t"]}, queries, "folder")
    assert report["unranked"] == 1 and report["query_count"] == 2
    assert report["per_query"]["recall@1"] == [1.0, 0.0]


@pytest.mark.parametrize("protocol", ["circo", "cirr", "fashioniq", "folder"])
def test_hidden_targets_are_refused(protocol):
    with pytest.raises(InputError, match="ipcir submission write"):
        metrics.score({"1": ["a"]}, [Query("1", "r", ["c"])], protocol)


@st.composite
def tasks(draw):
    seed = draw(st.integers(0, 2**32 - 1))
    generator = random.Random(seed)
    queries, rankings = [], {}
    for number in range(draw(st.integers(1, 4))):
        targets = generator.sample(IMAGES, draw(st.integers(1, 8)))
        queries.append(Query(str(number), "r", ["c"], targets, category="dress"))
        rankings[str(number)] = generator.sample(IMAGES, draw(st.integers(0, 30)))
    return queries, rankings


@settings(max_examples=60, deadline=None)
@given(tasks())
def test_against_trec_eval(task):
    """Recall of one relevant image is trec_eval's; so is AP@k where no more than k images are relevant."""
    queries, rankings = task
    relevant = {query.query_id: dict.fromkeys(query.targets, 1) for query in queries}
    first = {query.query_id: {query.targets[0]: 1} for query in queries}
    runs = {q: {name: float(-rank) for rank, name in enumerate(names)} for q, names in rankings.items() if names}
    maps = pytrec_eval.RelevanceEvaluator(relevant, {"map_cut.10,25"}).evaluate(runs)
    recalls = pytrec_eval.RelevanceEvaluator(first, {"recall.5,10"}).evaluate(runs)
    ours = metrics.circo(rankings, queries)
    for key, theirs in [("mAP@10", "map_cut_10"), ("mAP@25", "map_cut_25")]:
        mean = sum(maps.get(q.query_id, {}).get(theirs, 0) for q in queries) / len(queries)
        assert ours[key] == pytest.approx(mean)
    for k in (5, 10):
        mean = sum(recalls.get(q.query_id, {}).get(f"recall_{k}", 0) for q in queries) / len(queries)
        assert ours[f"recall@{k}"] == pytest.approx(mean)
        assert k == 5 or metrics.fashioniq(rankings, queries)[f"recall@{k}"] == pytest.approx(mean)


@settings(max_examples=60, deadline=None)
@given(tasks())
def test_circo_exceeds_trec_eval_by_the_ratio_of_ground_truths_to_k(task):
    """With more than k relevant images trec_eval divides by their number, CIRCO by k."""
    queries, rankings = task
    for query in queries:
        ranking = rankings[query.query_id]
        if ranking and len(query.targets) > 5:
            evaluator = pytrec_eval.RelevanceEvaluator({"q": dict.fromkeys(query.targets, 1)}, {"map_cut.5"})
            theirs = evaluator.evaluate({"q": {n: float(-i) for i, n in enumerate(ranking)}})["q"]["map_cut_5"]
            ours = average_precision(ranking, query.targets, 5)
            assert ours == pytest.approx(theirs * len(query.targets) / 5)


def _parquet(path, rows):
    import pyarrow as pa
    import pyarrow.parquet as parquet

    names = ("query_id", "rank", "image", "score")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    parquet.write_table(pa.table({key: list(values) for key, values in columns.items()}), path)


def test_command_reads_parquet_in_rank_order_and_does_not_import_torch(tmp_path):
    _parquet(tmp_path / "r.parquet", [("1", 2, "t", 0.1), ("1", 1, "n", 0.2), ("2", 1, "t", 0.3)])
    write_records(tmp_path / "q.jsonl", [Query("1", "r", ["c"], ["t"]), Query("2", "r", ["c"], ["t"])])
    write_records(tmp_path / "f.jsonl", [])
    code = (
        "import sys; from ipcir_steps.cli import main; "
        "assert main(sys.argv[1:]) == 0; assert not {'torch', 'scipy'} & set(sys.modules)"
    )
    command = ["metrics", "--rankings", "r.parquet", "--queries", "q.jsonl", "--benchmark", "folder"]
    command += ["--failures", "f.jsonl", "--output", "m.json"]
    subprocess.run([sys.executable, "-c", code, *command], check=True, cwd=tmp_path, env=_env())
    report = json.loads((tmp_path / "m.json").read_text())
    assert report["metrics"]["recall@1"] == 0.5 and report["metrics"]["mAP@5"] == 0.75
    assert report["queries"] == ["1", "2"] and report["per_query"]["mAP@5"] == [0.5, 1.0]
    assert report["failure_count"] == 0


def _env():
    import os
    from pathlib import Path

    return os.environ | {"PYTHONPATH": str(Path(metrics.__file__).parents[2])}


def test_lists_with_gaps_are_scored_and_checked(tmp_path):
    """Below the end of its lists a benchmark with ``whole`` has the targets alone, at their places."""
    write_rankings(tmp_path / "r.parquet", [("1", [("a", 0.9), ("t", 0.1, 4)])], {"whole": True})
    write_records(tmp_path / "queries.jsonl", [Query("1", "r", ["c"], ["t"], pool="p")])
    words = [
        "--rankings",
        "r.parquet",
        "--queries",
        "queries.jsonl",
        "--benchmark",
        "icir",
        "--gallery",
        "gallery.jsonl",
    ]
    for names, ends in ((("a", "t"), 0), (("a", "b"), 1)):
        write_records(tmp_path / "gallery.jsonl", [Image(name, name) for name in names])
        command = [sys.executable, "-m", "ipcir_steps", "metrics", *words, "--output", "out.json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode != 0) == bool(ends), done.stderr
    assert "'t' is not in the gallery" in done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["metrics"]["mAP"] == pytest.approx((0 / 3 + 1 / 4) / 2 / (1 + 1e-5), abs=1e-12)
