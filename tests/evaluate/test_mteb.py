"""Prediction files of MTEB, read back by the package itself where it is installed."""

import json

import numpy as np
import pytest

from ipcir_steps.cli import main
from ipcir_steps.core.rankings import write_rankings
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.evaluate.mteb import CAUTION, falling

QUERIES = [Query(f"q{n}", "r", ("x",), ("b",)) for n in range(3)]
ROWS = [("q0", [("a", 0.9), ("b", 0.5), ("c", 0.5)]), ("q2", [("c", -0.1), ("a", -0.2)])]


@pytest.fixture
def write(tmp_path):
    write_records(tmp_path / "queries.jsonl", QUERIES)
    write_rankings(tmp_path / "r.parquet", ROWS, {})

    def run(*options, output="Ours_predictions.json", rankings="r.parquet"):
        command = ["mteb", "--rankings", str(tmp_path / rankings), "--queries", str(tmp_path / "queries.jsonl")]
        code = main([*command, "--name", "ipcir/test", "--output", str(tmp_path / output), *options])
        return json.loads((tmp_path / output).read_text()) if code == 0 else code

    return run


def order(scores):
    return sorted(scores, key=lambda name: (-np.float32(scores[name]), -ord(name)))


def test_the_order_is_ours_however_ties_are_broken(write, capsys):
    found = write()
    lists = found["default"]["test"]
    assert list(lists) == ["q0", "q1", "q2"] and lists["q1"] == {}, "a query that failed has no image"
    assert order(lists["q0"]) == ["a", "b", "c"] and order(lists["q2"]) == ["c", "a"]
    assert lists["q0"]["b"] == 0.5 and 0.4999 < lists["q0"]["c"] < 0.5
    assert found["mteb_model_meta"]["model_name"] == "ipcir/test"
    assert CAUTION in capsys.readouterr().err and found["mteb_model_meta"]["caution"] == CAUTION
    assert falling([1.0, 2.0, 0.5])[0] > falling([1.0, 2.0, 0.5])[1], "never rising"


def test_trec_eval_sees_our_order(write):
    """What MTEB scores with breaks ties by the images' names, from the last to the first."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    lists = write()["default"]["test"]
    places = {"a": 1, "b": 2, "c": 3}
    for name, place in places.items():
        evaluator = pytrec_eval.RelevanceEvaluator({"q0": {name: 1}}, {"recip_rank"})
        assert evaluator.evaluate(lists)["q0"]["recip_rank"] == pytest.approx(1 / place)
        tied = evaluator.evaluate({"q0": {"a": 0.9, "b": 0.5, "c": 0.5}})["q0"]["recip_rank"]
        assert (tied == pytest.approx(1 / place)) == (name == "a"), "as it would be"


def test_the_mark_of_toy_models_stays(write, tmp_path):
    write_rankings(tmp_path / "toys.parquet", ROWS, {"mark": "TOY MODELS"})
    assert write(rankings="toys.parquet")["mteb_model_meta"]["caution"] == f"TOY MODELS; {CAUTION}"


def test_server_files_and_other_ids(write, tmp_path):
    (tmp_path / "lists.json").write_text(json.dumps({"q0": ["b", "a"], "version": "rc2"}))
    ids = {"queries": {f"q{n}": f"7:{n}" for n in range(3)}, "images": {"a": "7:10", "b": "7:11"}}
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    found = write("--ids", str(tmp_path / "ids.json"), "--split", "val", "--subset", "en", rankings="lists.json")
    assert found["en"]["val"] == {"7:0": {"7:11": 1.0, "7:10": 0.5}, "7:1": {}, "7:2": {}}


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"images": {"a": "1", "b": "2"}}, "record c: field 'images': has no id of MTEB"),
        ({"images": {"a": "1", "b": "1", "c": "3"}}, "two images of its list have one id"),
        ({"queries": dict.fromkeys(("q0", "q1", "q2"), "1")}, "two queries have one id"),
        ({"pictures": {}}, "is no table of ids"),
    ],
)
def test_wrong_ids_are_named(write, tmp_path, capsys, ids, message):
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    assert write("--ids", str(tmp_path / "ids.json")) == 2
    assert message in capsys.readouterr().err


def test_a_name_that_mteb_would_not_find(write, capsys):
    assert write(output="lists.json") == 2 and "CIRRIT2IRetrieval_predictions.json" in capsys.readouterr().err


def test_mteb_reads_it(write, tmp_path):
    """As lists to rank again."""
    mteb = pytest.importorskip("mteb", reason="mteb is not installed (pip install 'ipcir[mteb]')")
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    write()

    class Ours(AbsTaskRetrieval):
        metadata = mteb.get_task("CIRRIT2IRetrieval").metadata.model_copy(update={"name": "Ours"})

    task = Ours()
    task.dataset, task.data_loaded = {"default": {"test": {}}}, True
    task.convert_to_reranking(tmp_path, top_k=2)
    assert task.dataset["default"]["test"]["top_ranked"] == {"q0": ["a", "b"], "q1": [], "q2": ["c", "a"]}
