"""Layouts: the schema, and plans by an untrained model."""

import json
import re

from ipcir_steps.cli import main
from ipcir_steps.config.language import Layouts
from ipcir_steps.core.files import read_jsonl, write_jsonl
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.imagine.layouts import LayoutError, decoding_schema, plan
from ipcir_steps.imagine.llm import Group, open_llm
from ipcir_steps.imagine.llm.prompts import load_prompt
from tests.imagine.layouts.example import DOG, LAYOUT, is_valid

SMALL = Layouts(max_instances=2, max_text=12, temperature=1.0, top_p=1.0)


def test_an_untrained_model_writes_100_valid_layouts_of_100(llm):
    items = [(Query(f"q{n}", "r", ("is black",)), ["a dog"]) for n in range(100)]
    backend = open_llm(SMALL, llm, None)
    records = plan(items, load_prompt("layouts"), backend, SMALL, 1)
    assert all(isinstance(record, dict) and is_valid(record) for record in records)
    assert len({json.dumps(record) for record in records}) == 100


def test_an_answer_is_closed_when_its_tokens_run_out(llm):
    items = [(Query(f"q{n}", "r", ("is black",)), ["a dog"]) for n in range(5)]
    lengths = {}
    for budget in (20, 100, 2000):
        few = Layouts(max_new_tokens=budget, max_text=120, max_instances=8, temperature=1.0, top_p=1.0, retries=0)
        backend = open_llm(few, llm, None)
        records = plan(items, load_prompt("layouts"), backend, few, 1)
        assert all(isinstance(record, dict) and is_valid(record) for record in records)
        lengths[budget] = backend.tokens / len(items)
    assert lengths[20] < 20 + 90, "what every answer needs beyond its budget"
    assert lengths[20] < lengths[100] < lengths[2000]


def test_coordinates_are_written_in_two_digits(llm):
    backend = open_llm(SMALL, llm, None)
    asked = [[{"role": "user", "content": f"plan {n}"}] for n in range(10)]
    [answers] = backend.answer([Group(asked, 1, decoding_schema(2, 12))])
    boxes = re.findall(r'"box": \[([^]]+)\]', "".join(answers))
    assert len(boxes) >= 10 and all(re.fullmatch(r"[01]|0\.\d5?", text) for b in boxes for text in b.split(", "))


def test_the_schema_bounds_every_answer():
    schema = decoding_schema(3, 40)
    assert schema["properties"]["instances"]["maxItems"] == 3
    instance = schema["properties"]["instances"]["items"]
    assert list(instance["properties"]) == list(DOG) == instance["required"]
    assert not instance["additionalProperties"]


class Scripted:
    """A model without constrained decoding: one prepared answer per try."""

    width, together, tokens, digest = 1, False, 0, "scripted"

    def __init__(self, *answers):
        self.answers, self.seeds = list(answers), []

    def answer(self, groups):
        self.seeds += [group.seed for group in groups]
        return [[self.answers.pop(0)] for _ in groups]


def test_invalid_answers_are_asked_again_under_other_seeds_and_then_given_up():
    items = [(Query("q", "r", ("is black",)), ["a dog"])]
    prompt, settings = load_prompt("layouts"), Layouts(retries=2, constrained=False)
    backend = Scripted("I cannot", "{}", json.dumps(LAYOUT))
    [record] = plan(items, prompt, backend, settings, 1)
    assert record["instances"] == LAYOUT["instances"] and len(set(backend.seeds)) == 3
    backend = Scripted("I cannot", "{}", "never", json.dumps(LAYOUT))
    [failure] = plan(items, prompt, backend, settings, 1)
    assert isinstance(failure, LayoutError) and failure.field == "answer" and len(backend.answers) == 1


def test_shards_give_the_same_bytes(tmp_path, llm):
    queries = [Query(f"q{n}", "r", (f"shows {n} dogs",)) for n in range(9)]
    write_records(tmp_path / "queries.jsonl", queries)
    write_jsonl(tmp_path / "captions.jsonl", [{"query_id": q.query_id, "captions": ["a dog"]} for q in queries[:-1]])
    command = ["layouts", "--queries", str(tmp_path / "queries.jsonl"), "--captions", str(tmp_path / "captions.jsonl")]
    command += ["--model", str(llm), "--settings", SMALL.model_copy(update={"batch_size": 2}).model_dump_json()]
    joined = {}
    for count in (1, 3, 8):
        for i in range(count):
            assert main([*command, "--shard", f"{i}/{count}", "--output", str(tmp_path / f"{i}.jsonl")]) == 0
        joined[count] = "".join((tmp_path / f"{i}.jsonl").read_text() for i in range(count))
    assert joined[1] == joined[3] == joined[8]
    assert sum(bool(read_jsonl(tmp_path / f"{i}.jsonl")) for i in range(8)) == 5, "one shard for each batch of two"
    records = [json.loads(line) for line in joined[1].splitlines()]
    assert all(is_valid(r) for r in records[:-1]) and records[-1]["failure"] == "no source captions"
