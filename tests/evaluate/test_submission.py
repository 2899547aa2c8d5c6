import json

import pytest

from ipcir_steps.benchmarks import circo, cirr
from ipcir_steps.cli import main
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.evaluate import submission

GALLERY = [f"dev-{n}-0-img0" for n in range(80)]
QUERIES = [Query(str(n), GALLERY[n], ["c"], group=GALLERY[n + 1 : n + 6]) for n in range(10)]
COCO = [str(n) for n in range(100, 180)]
COCO_QUERIES = [Query(str(n), COCO[n], ["c"]) for n in range(10)]


def recall_file():
    rankings = {query.query_id: GALLERY for query in QUERIES}
    return cirr.RECALL.content(rankings, QUERIES)


def subset_file():
    rankings = {query.query_id: GALLERY for query in QUERIES}
    return cirr.RECALL_SUBSET.content(rankings, QUERIES)


def circo_file():
    return circo.SERVER_FILE.content({query.query_id: COCO for query in COCO_QUERIES}, COCO_QUERIES)


KINDS = {
    "recall": (recall_file, QUERIES, GALLERY),
    "subset": (subset_file, QUERIES, GALLERY),
    "circo": (circo_file, COCO_QUERIES, COCO),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_write_is_valid(kind, tmp_path):
    make, queries, gallery = KINDS[kind]
    (tmp_path / "s.json").write_text(json.dumps(make()))
    assert "10 queries" in submission.check(tmp_path / "s.json", queries, gallery)


@pytest.mark.parametrize(
    "name", ["circo_val_official_example", "circo_test_LDRE-g", "cirr_test1_subset_LDRE-G"]
)  # fmt: skip
def test_published_files_pass(published, name, capsys):
    assert main(["submission", "check", str(published / f"submissions/{name}.json")]) == 0
    assert "valid" in capsys.readouterr().out


def _set(*path_and_value):
    *path, key, value = path_and_value

    def change(content):
        for step in path:
            content = content[step]
        content[key] = value

    return change


def _drop(key):
    return lambda content: content.pop(key)


BROKEN = [
    ("recall", _drop("version"), "field 'version': is missing"),
    ("recall", _set("version", "rc1"), "the server takes 'rc2'"),
    ("recall", _drop("metric"), "field 'metric': is missing"),
    ("recall", _set("metric", "mAP"), "the server takes 'recall' or 'recall_subset'"),
    ("recall", _set("3", "a name"), "holds a str, not a list"),
    ("recall", lambda c: c["3"].pop(), "too few images (49, needs 50)"),
    ("recall", lambda c: c["3"].append(GALLERY[70]), "too many images (51, takes 50)"),
    ("recall", lambda c: c["3"].__setitem__(7, c["3"][8]), "twice"),
    ("recall", _set("3", 7, GALLERY[3]), "the query's own reference dev-3-0-img0"),
    ("recall", _set("3", 7, "dev-999-0-img0"), "not in the gallery"),
    ("recall", _set("3", 7, 12), "lists the number 12"),
    ("recall", _set("3", 7, None), "lists a NoneType"),
    ("recall", _set("3", 7, ""), "an empty image name"),
    ("recall", _set("3", 7, "dev/dev-70-0-img0.png"), "lists the file"),
    ("recall", _set("x7", []), "is not a query id"),
    ("recall", _set("12345", GALLERY[:50]), "is not a query of this split"),
    ("recall", _drop("3"), "1 queries are not answered, the first is 3"),
    ("subset", _set("3", GALLERY[20:23]), "not in the query's image set"),
    ("subset", lambda c: c["3"].append(GALLERY[7]), "too many images (4, takes 3)"),
    ("circo", _set("3", 7, "abc"), "not a COCO image id"),
    ("circo", _set("3", 7, "000000150"), "no leading zeros"),
    ("circo", _set("3", 7, True), "lists a bool"),
    ("circo", lambda c: c.clear(), "is empty"),
]


@pytest.mark.parametrize(("kind", "change", "message"), BROKEN)
def test_broken_files_each_have_their_message(kind, change, message, tmp_path):
    make, queries, gallery = KINDS[kind]
    content = json.loads(json.dumps(make()))
    change(content)
    path = tmp_path / "s.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        submission.check(path, queries, gallery)
    assert message in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"1": [', "is not valid JSON"),
        (b"[1, 2]", "is a JSON list"),
        (b'{"1": [1], "1": [2]}', "record 1: appears twice"),
        (b'{"1": ["\xff"]}', "is not UTF-8"),
        (None, "does not exist"),
    ],
)
def test_files_that_are_no_files_of_answers(data, message, tmp_path):
    path = tmp_path / "s.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        submission.check(path)


def test_without_queries_the_number_of_a_published_split_is_asked_for(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps(circo_file()))
    with pytest.raises(InputError, match=r"answers 10 queries; the splits have 220 \(val\) or 800 \(test\)"):
        submission.check(tmp_path / "s.json")


def test_splits_may_not_be_mixed(tmp_path):
    content = recall_file()
    content["3"][7] = "test1-5-0-img0"
    (tmp_path / "s.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="mixes images of the splits dev and test1"):
        submission.check(tmp_path / "s.json", QUERIES)


def test_a_short_ranking_cannot_make_a_subset_file():
    rankings = {query.query_id: GALLERY[:4] for query in QUERIES}
    with pytest.raises(InputError, match="--subset"):
        cirr.RECALL_SUBSET.content(rankings, QUERIES)


def test_command_writes_and_checks_both_cirr_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_records("q.jsonl", QUERIES)
    write_records("g.jsonl", [Image(name, f"{name}.png", 8, 8) for name in GALLERY])
    (tmp_path / "r.json").write_text(json.dumps({query.query_id: GALLERY for query in QUERIES}))
    command = ["submission", "write", "--benchmark", "cirr", "--rankings", "r.json", "--queries", "q.jsonl"]
    command += ["--gallery", "g.jsonl", "--output", "recall.json", "--subset-output", "subset.json"]
    assert main(command) == 0
    assert capsys.readouterr().out.count("a valid CIRR") == 2
    assert json.loads((tmp_path / "recall.json").read_text())["0"][0] == GALLERY[1]
    assert json.loads((tmp_path / "subset.json").read_text())["0"] == GALLERY[1:4]
