"""Target captions from a tiny untrained Qwen2."""

import json

import pytest

from ipcir_steps.cli import main
from ipcir_steps.config.language import Reasoning
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import read_jsonl, write_jsonl
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.imagine.llm import Group, open_llm
from ipcir_steps.imagine.llm.prompts import load_prompt
from ipcir_steps.imagine.reasoning import clean, target_captions

QUERIES = [Query(f"q{i}", f"image{i % 4}", ("is black", "has a collar")[: 1 + i % 2]) for i in range(7)]


SETTINGS = {"max_new_tokens": 8, "temperature": 1.0, "top_p": 1.0, "batch_size": 2}


@pytest.fixture
def inputs(tmp_path):
    write_records(tmp_path / "queries.jsonl", QUERIES)
    captions = [
        {"query_id": q.query_id, "captions": [f"a dog {k}" for k in range(3)]} for q in QUERIES if q != QUERIES[5]
    ]
    write_jsonl(tmp_path / "captions.jsonl", captions)
    return tmp_path


def code(inputs, model, name, *extra):
    output = inputs / name
    command = ["reasoning", "--queries", str(inputs / "queries.jsonl"), "--captions", str(inputs / "captions.jsonl")]
    command += ["--model", str(model), "--settings", json.dumps(SETTINGS), "--seed", "7", "--output", str(output)]
    return main([*command, *extra])


def run(inputs, model, name, *extra):
    assert code(inputs, model, name, *extra) == 0
    return read_jsonl(inputs / name) if (inputs / name).exists() else []


def test_every_query_gets_one_target_caption_per_source_caption(inputs, llm):
    records = run(inputs, llm, "targets.jsonl")
    assert [r["query_id"] for r in records] == [q.query_id for q in QUERIES]
    assert records[5] == {"query_id": "q5", "failure": "no source captions"}
    for record in records[:5] + records[6:]:
        assert len(record["captions"]) == 3
        assert all(c and c == " ".join(c.split()) for c in record["captions"])
        assert record["prompt"] == load_prompt("reasoning").digest
    assert len({c for r in records for c in r.get("captions", ())}) > 10, "sampled answers differ"


def test_shards_give_the_same_bytes(inputs, llm):
    """Also by one process that takes several shards, and with a model that is loaded once for them."""
    whole = run(inputs, llm, "whole.jsonl")
    for count in (3, 8):
        parts = [run(inputs, llm, f"{i}.jsonl", "--shard", f"{i}/{count}") for i in range(count)]
        assert [record for part in parts for record in part] == whole
        files = [inputs / f"{count}-{i}.jsonl" for i in range(count)]
        shards = [f"{i}/{count}" for i in range(count)]
        run(inputs, llm, "unused.jsonl", "--shard", *shards, "--output", *map(str, files))
        assert [record for file in files for record in read_jsonl(file)] == whole


def test_every_shard_needs_an_output(inputs, llm, capsys):
    assert code(inputs, llm, "one.jsonl", "--shard", "0/2", "1/2") == 2
    assert "1 files are named for 2 shards" in capsys.readouterr().err


def test_a_batch_that_was_cut_off_gives_the_same_bytes(inputs, llm):
    """Killed between two records of one batch: the batch is decoded whole again, and only what is missing is kept."""
    whole = run(inputs, llm, "whole.jsonl")
    lines = (inputs / ".whole.jsonl.journal").read_bytes().splitlines(keepends=True)
    (inputs / "killed.jsonl.part").write_bytes(b"".join(lines[:4]))
    assert run(inputs, llm, "killed.jsonl") == whole


def test_answers_depend_on_the_seed_and_come_from_the_cache_the_second_time(llm, tmp_path):
    settings, prompt = Reasoning(**SETTINGS), load_prompt("reasoning")
    items = [(QUERIES[0], ["a cat", "a dog"])]
    first = open_llm(settings, llm, tmp_path / "cache")
    records = target_captions(items, prompt, first, 1)
    assert target_captions(items, prompt, first, 2) != records
    again = open_llm(settings, llm, tmp_path / "cache")
    assert target_captions(items, prompt, again, 1) == records
    assert again.tokens == 0 and "loaded" not in vars(again)


class Scripted:
    """Answers that no small model can be made to give on demand."""

    width, together, tokens, digest = 1, False, 0, "scripted"

    def __init__(self, answers):
        self.answers, self.groups = answers, []

    def answer(self, groups: list[Group]):
        self.groups += groups
        return [self.answers] * len(groups)


def test_an_answer_without_text_becomes_source_and_relative_caption():
    query = Query("q", "r", ("is red", "has a bow"))
    [record] = target_captions(
        [(query, ["a hat", "a cap"])], load_prompt("reasoning"), Scripted(["\n..", "a red cap"]), 0
    )
    assert record["captions"] == ["a hat, is red and has a bow", "a red cap"]


def test_a_failed_answer_is_the_failure_of_its_query_alone():
    backend = Scripted(StepFailure("server is down"))
    results = target_captions([(QUERIES[0], None), (QUERIES[1], ["a dog"])], load_prompt("reasoning"), backend, 0)
    assert [str(r) for r in results] == ["no source captions", "server is down"]


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("a white horse", "a white horse"),
        ('Target caption: "a white\thorse"\n\nIt keeps …', "a white horse"),
        ("- **a white horse**", "a white horse"),
        ("2 horses on a beach", "2 horses on a beach"),
        ("\n\n ... \n", ""),
        ("x" * 900, "x" * 300),
    ],
)
def test_clean(answer, caption):
    assert clean(answer) == caption


def test_eight_shards_in_one_process_load_the_model_once_and_a_rerun_not_at_all(inputs, llm, caplog):
    caplog.set_level("INFO", "models")
    files = [str(inputs / f"part{i}.jsonl") for i in range(8)]
    command = ["unused.jsonl", "--shard", *(f"{i}/8" for i in range(8)), "--output", *files]
    command += ["--cache", str(inputs / "cache")]  # the query that failed is tried again, and its batch with it
    run(inputs, llm, *command)
    assert caplog.text.count("loaded the language model") == 1
    run(inputs, llm, *command)
    assert caplog.text.count("loaded the language model") == 1
