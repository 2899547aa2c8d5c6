import json
import random
import subprocess
import sys

import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_json
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.evaluate import metrics

IMAGES = [f"i{n}" for n in range(30)]


@pytest.fixture
def circo_val(published):
    records = json.loads((published / "CIRCO/annotations/val.json").read_text())
    return [
        Query(
            str(r["id"]), str(r["reference_img_id"]), [r["relative_caption"]],
            [str(r["target_img_id"]), *(str(i) for i in r["gt_img_ids"] if i != r["target_img_id"])],
            aspects=r["semantic_aspects"],
        )
        for r in records
    ]  # fmt: skip


def test_the_official_circo_example(published, circo_val):
    rankings = metrics.read_rankings(published / "submissions/circo_val_official_example.json")
    values = metrics.circo(rankings, circo_val)
    assert [round(100 * values[f"mAP@{k}"], 3) for k in (5, 10, 25, 50)] == [0.486, 0.518, 0.540, 0.602]
    assert len([key for key in values if key.startswith("mAP@10/")]) == 9


def test_circo_by_hand():
    query = Query("1", "r", ["c"], ["a", "b", "c"], aspects=["x", "y"])
    other = Query("2", "r", ["c"], ["z"], aspects=["y"])
    values = metrics.circo({"1": ["b", "n", "a", *"pq", "c"], "2": ["n"]}, [query, other])
    # query 1: precisions 1/1 and 2/3 in the first five of three relevant; the third at rank 6
    assert values["mAP@5"] == pytest.approx((1 + 2 / 3) / 3 / 2)
    assert values["mAP@10"] == pytest.approx((1 + 2 / 3 + 3 / 6) / 3 / 2)
    assert values["recall@5"] == 0.5
    assert values["mAP@10/x"] == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    assert values["mAP@10/y"] == pytest.approx((1 + 2 / 3 + 3 / 6) / 3 / 2)


def test_more_ground_truths_than_k_divide_by_k():
    assert metrics.average_precision(["a", "b"], list("abcdefgh"), 2) == 1.0


def test_cirr_by_hand():
    queries = [
        Query("1", "r", ["c"], ["t"], group=["t", "u", "v", "w", "x"]),
        Query("2", "r", ["c"], ["t"], group=["t", "u", "v", "w", "x"]),
    ]
    rankings = {"1": ["r", "t", "u"], "2": ["n", "u", "v", "r", "w", "m", "t", "x"]}
    values = metrics.cirr(rankings, queries)
    assert values["recall@1"] == 0.5  # the reference on top of query 1 is removed
    assert values["recall@5"] == 0.5  # query 2: n u v w m | t
    assert values["recall@10"] == 1.0
    assert [values[f"recall_subset@{k}"] for k in (1, 2, 3)] == [0.5, 0.5, 0.5]
    assert values["average"] == 0.5
    subset = {"1": ["u", "t"], "2": ["v", "t", "u"]}
    assert [metrics.cirr(rankings, queries, subset)[f"recall_subset@{k}"] for k in (1, 2)] == [0, 1]


def test_fashioniq_averages_categories_not_queries():
    queries = [Query(str(n), "r", ["c"], ["t"], category="dress") for n in range(3)]
    queries.append(Query("3", "r", ["c"], ["t"], category="shirt"))
    values = metrics.fashioniq({"3": ["t"]}, queries)
    assert values["dress/recall@10"] == 0 and values["shirt/recall@10"] == 1
    assert values["recall@10"] == 0.5 and values["recall@50"] == 0.5


def test_the_reference_stays_on_circo_and_fashioniq():
    ranking = {"1": ["r", *IMAGES[:9], "t"]}
    assert metrics.fashioniq(ranking, [Query("1", "r", ["c"], ["t"], category="dress")])["recall@10"] == 0
    assert metrics.circo(ranking, [Query("1", "r", ["c"], ["t"])])["recall@10"] == 0


def test_a_query_without_a_ranking_counts_as_zero():
    queries = [Query("1", "r", ["c"], ["t"]), Query("2", "r", ["c"], ["t"])]
    assert metrics.folder({"1": ["t"]}, queries)["recall@1"] == 0.5
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
            ours = metrics.average_precision(ranking, query.targets, 5)
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


def test_damaged_and_foreign_rankings(tmp_path):
    (tmp_path / "r.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match="is not a rankings file"):
        metrics.read_rankings(tmp_path / "r.parquet")
    with pytest.raises(InputError, match="does not exist"):
        metrics.read_rankings(tmp_path / "none.parquet")
    write_json(tmp_path / "r.json", {"1": [5, 6], "version": "rc2"})
    assert metrics.read_rankings(tmp_path / "r.json") == {"1": ["5", "6"]}
