"""Queries that are also scored by themselves: in the metrics, the result file and the tables."""

import argparse
import json

import pytest

from ipcir_steps.config import load_config
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, write_json, write_jsonl
from ipcir_steps.core.marks import marks_of
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.evaluate import metrics, results, subsets
from ipcir_steps.evaluate.reporting import tables
from ipcir_steps.evaluate.reporting.tables import text

QUERIES = [Query(str(n), f"r{n}", ("x",), targets=(f"t{n}",)) for n in range(20)]
HITS = {"base": {0, 1, 12}, "rp_bm": {0, 1, 2, 3, 4, 12}}


@pytest.fixture
def scored(tmp_path):
    """Metrics files of two variants, with the subset ``audited`` of the queries 0 to 9, as the command writes them."""
    write_records(tmp_path / "queries.jsonl", QUERIES)
    write_jsonl(tmp_path / "failures.jsonl", [{"query_id": q, "step": "layouts", "failure": "x"} for q in ("3", "15")])
    (tmp_path / "audited.txt").write_text("# ids\n" + "\n".join(map(str, range(9, -1, -1))) + "\n\n")
    files = []
    for variant, hits in HITS.items():
        lists = {q.query_id: [q.targets[0] if n in hits else "x"] for n, q in enumerate(QUERIES)}
        write_json(tmp_path / "lists.json", lists)
        files.append(tmp_path / f"ViT-L-14/ldre/{variant}.metrics.json")
        run(tmp_path, "--subsets", f"audited={tmp_path / 'audited.txt'}", output=files[-1])
    return tmp_path, files


def run(directory, *more, output):
    parser = argparse.ArgumentParser()
    metrics.arguments(parser)
    words = ["--rankings", directory / "lists.json", "--queries", directory / "queries.jsonl", "--benchmark", "circo"]
    metrics.main(parser.parse_args([str(word) for word in (*words, "--output", output, *more)]))


def collect(directory, files, name="circo", **more):
    settings = results.Results.model_validate_json(json.dumps({"resamples": 200, **more}))
    return results.collect(name, files, directory / "queries.jsonl", directory / "failures.jsonl", settings)


def test_metrics_of_a_subset_are_those_of_its_queries(scored):
    _, files = scored
    part = read_json(files[1])["subsets"]["audited"]
    assert part["queries"] == [str(n) for n in range(10)]  # in the order of the queries
    assert part["metrics"]["recall@1"] == 0.5
    assert read_json(files[1])["metrics"]["recall@1"] == 0.3


def test_results_show_the_subset_beside_all_queries(scored):
    result = collect(*scored)
    part = result["subsets"]["audited"]
    assert part["queries"] == 10 and part["failures"] == {"queries": 1, "by_step": {"layouts": 1}}
    base, ours = part["entries"]
    assert base["metrics"]["recall@1"] == 0.2 and base["difference"] == {}
    change = ours["difference"]["recall@1"]
    assert change["value"] == pytest.approx(0.3) and change["low"] <= 0.3 <= change["high"]


def test_all_queries_are_as_without_subsets(scored):
    directory, files = scored
    result = collect(directory, files)
    for path in files:
        write_json(path, {key: value for key, value in read_json(path).items() if key != "subsets"})
    plain = collect(directory, files)
    del result["subsets"], result["provenance"], plain["provenance"]
    assert result == plain


def test_tables_mark_the_subset_and_set_no_published_value_beside_it(scored):
    result = collect(*scored)
    every, part = tables.parts([result], 1)
    assert any(cell.published is not None for row in every.rows for cell in row.cells)
    assert not any(cell.published is not None for row in part.rows for cell in row.cells)
    assert part.mark == "subset audited: 10 of 20 queries" and every.mark is None
    shown = text.markdown("T", [every, part])
    assert "## circo (20 queries, 2 failed)" in shown and "## circo, subset audited (10 queries, 1 failed)" in shown
    assert "circo, subset audited" in text.csv("T", [part]) and "10 of 20" in text.latex("T", [part])
    assert "subset audited: 10 of 20 queries" in results.table(subsets.view(result, "audited"))


def test_published_values_are_of_the_benchmark_that_a_dataset_is_named_after(scored):
    directory, files = scored
    assert any(entry["published"] for entry in collect(directory, files)["entries"])
    for path in files:
        write_json(path, read_json(path) | {"protocol": "folder"})
    assert not any(entry["published"] for entry in collect(directory, files)["entries"])


def test_published_values_did_not_read_the_shared_concept_and_every_table_says_so(scored):
    directory, files = scored
    config = load_config({"datasets": {"circo": {"shared_concept": True}}})
    result = collect(directory, files, stack=config.identity("circo"))
    assert not any(entry["published"] for entry in result["entries"])
    assert "CIRCO's human-written shared_concept" in results.table(result).partition("circo (percent")[0]
    assert "shared_concept" in text.markdown("T", tables.parts([result], 1))
    plain = collect(directory, files, stack=load_config({}).identity("circo"))
    assert any(entry["published"] for entry in plain["entries"]) and "reads" not in plain["stack"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ids.txt", "0\n77\n", "ids.txt: record 77: is no query of this split. The ids are those of queries.jsonl"),
        ("ids.txt", "1\n1\n", "record 1: the query id appears twice"),
        ("ids.txt", "# none\n", "holds no query ids. Write one id a line"),
        ("ids.json", '{"0": 1}', "is not a list of query ids"),
        ("ids.json", "[1, true]", "is not a list of query ids"),
        ("none.txt", None, "none.txt: does not exist. Correct datasets.NAME.subsets"),
    ],
)
def test_bad_lists_are_told(scored, name, content, message):
    directory, _ = scored
    if content is not None:
        (directory / name).write_text(content)
    with pytest.raises(InputError, match=message):
        run(directory, "--subsets", f"mine={directory / name}", output=directory / "out.json")


def test_json_lists_may_hold_numbers(tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps([3, "4"]))
    assert subsets.read_ids(tmp_path / "ids.json") == ["3", "4"]


def test_variants_with_other_subsets_are_refused(scored):
    directory, files = scored
    run(directory, output=files[1])
    with pytest.raises(InputError, match="rp_bm.metrics.json: does not score the same subsets as its base"):
        collect(directory, files)


def test_a_protocol_of_its_own_is_told_in_every_table(scored):
    directory, files = scored
    for path in files:
        content = read_json(path)
        content["metrics"] = {"recall@10": 0.5, "recall@50": 0.6}
        write_json(path, content | {"protocol": "fashioniq_pairs", "subsets": {}})
    result = collect(directory, files, "fashioniq")
    (part,) = tables.parts([result], 2)
    for shown in (text.markdown("T", [part]), text.csv("T", [part]), text.latex("T", [part]), results.table(result)):
        assert "not comparable with FashionIQ" in shown
    assert not marks_of([result])  # a figure's mark is for numbers that mean nothing
