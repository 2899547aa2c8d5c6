"""The same request in several words: how far the wordings lie apart, from the CSV to the tables."""

import argparse
import dataclasses

import PIL.Image
import pytest

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.data import Source
from ipcir_steps.core.files import read_json, write_json, write_jsonl
from ipcir_steps.core.records import read_queries, write_records
from ipcir_steps.evaluate import metrics, results
from ipcir_steps.evaluate.paraphrases import cluster_of, spread_over
from ipcir_steps.evaluate.reporting import tables
from ipcir_steps.evaluate.reporting.tables import text

CSV = """reference,caption,targets,id,request
0.png,is red,1.png,a1,red
0.png,make it red,1.png,a2,red
0.png,the same in red,1.png,a3,red
2.png,is blue,3.png,b1,blue
2.png,blue instead,3.png,b2,blue
4.png,is large,5.png,c1,large
4.png,is small,1.png,d1,
"""
PLACES = {"base": {"a1": 1, "a2": 2, "a3": 9, "b1": 1, "b2": 1, "c1": 1, "d1": 3},
          "rp_bm": {"a1": 1, "a2": 1, "a3": 2, "b1": 1, "b2": 1, "c1": 1, "d1": 1}}  # fmt: skip


@pytest.fixture
def queries(tmp_path):
    for number in range(6):
        PIL.Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    (tmp_path / "queries.csv").write_text(CSV)
    found, _ = BENCHMARKS["folder"].read(Source(benchmark="folder", root=str(tmp_path)), "val")
    return found


def scored(directory, queries, variant):
    """The metrics file of lists in which each target stands at its place."""
    lists = {q.query_id: [f"x{n}" for n in range(9)] for q in queries}
    for query in queries:
        lists[query.query_id][PLACES[variant][query.query_id] - 1] = query.targets[0]
    write_json(directory / "lists.json", lists)
    write_records(directory / "queries.jsonl", queries)
    parser, output = argparse.ArgumentParser(), directory / f"B/ldre/{variant}.metrics.json"
    metrics.arguments(parser)
    words = ["--rankings", directory / "lists.json", "--queries", directory / "queries.jsonl", "--benchmark", "folder"]
    metrics.main(parser.parse_args(list(map(str, [*words, "--output", output]))))
    return output


def test_the_csv_says_which_rows_are_one_request(queries, tmp_path):
    assert [query.request for query in queries] == ["red"] * 3 + ["blue"] * 2 + ["large", None]
    write_records(tmp_path / "q.jsonl", queries)
    assert read_queries(tmp_path / "q.jsonl") == queries and '"request"' not in (tmp_path / "q.jsonl").read_text()[-90:]


def test_worst_best_and_spread_are_means_over_the_requests(queries, tmp_path):
    told = read_json(scored(tmp_path, queries, "base"))["paraphrases"]
    assert told["requests"] == 2  # a single wording has no spread
    reached = told["metrics"]["mAP@10"]
    assert reached["best"] == 1.0 and reached["worst"] == pytest.approx((1 / 9 + 1) / 2)
    assert reached["spread"] == pytest.approx(reached["best"] - reached["worst"])
    assert told["metrics"]["recall@1"] == {"spread": 0.5, "worst": 0.5, "best": 1.0}


def test_nothing_is_said_where_no_request_has_two_wordings(queries):
    assert spread_over(queries[5:], {"c1": {"m": 1.0}, "d1": {"m": 0.0}}) == {}


def test_the_result_and_the_tables_show_it(queries, tmp_path):
    files = [scored(tmp_path, queries, variant) for variant in PLACES]
    write_jsonl(tmp_path / "failures.jsonl", [])
    settings = results.Results(resamples=50)
    result = results.collect("mine", files, tmp_path / "queries.jsonl", tmp_path / "failures.jsonl", settings)
    found = tables.parts([result], 1)
    assert found[0].columns[-1] == tables.SPREAD
    base, ours = (row.cells[-1].value for row in found[0].rows)
    assert base == pytest.approx(100 * (1 - 1 / 9) / 2) and ours == pytest.approx(25)
    page = text.markdown("T", found)
    assert "**25.00**" in page and "**44.44**" not in page and "wording of a request" in page


def test_wordings_are_resampled_together(queries, tmp_path):
    """Without the names of the requests the interval is another; ids and metrics are the same."""
    files = [scored(tmp_path, queries, variant) for variant in PLACES]
    write_jsonl(tmp_path / "failures.jsonl", [])
    apart = [dataclasses.replace(query, request=None) for query in queries]
    found = []
    for some in (queries, apart):
        write_records(tmp_path / "queries.jsonl", some)
        result = results.collect("m", files, tmp_path / "queries.jsonl", tmp_path / "failures.jsonl", results.Results())
        found.append(result["entries"][1]["difference"]["mAP@10"])
    together, alone = found
    assert together["value"] == alone["value"] and (together["low"], together["high"]) != (alone["low"], alone["high"])
    assert [cluster_of(query)[0] for query in (queries[0], apart[0])] == ["request", "query"]
