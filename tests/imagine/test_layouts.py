"""Layouts: the schema, the tolerant reader, the count rule, and plans by an untrained model."""

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcir_steps.cli import main
from ipcir_steps.config.language import Layouts
from ipcir_steps.core.files import read_json, read_jsonl, write_jsonl
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.imagine.layouts import Layout, LayoutError, decoding_schema, parse_layout, plan
from ipcir_steps.imagine.layouts.counts import keep_counts
from ipcir_steps.imagine.llm import Group, open_llm
from ipcir_steps.imagine.llm.prompts import load_prompt

DOG = {
    "label": "brown dog",
    "category": "dog",
    "description": "a brown dog asleep",
    "box": [0.1, 0.2, 0.5, 0.9],
    "size": 3.0,
    "from_query": True,
    "modality": "image",
}
LAYOUT = {"scene": "a meadow", "instances": [DOG, {**DOG, "label": "ball", "from_query": False, "modality": "text"}]}
SMALL = Layouts(max_instances=2, max_text=12, temperature=1.0, top_p=1.0)


def is_valid(layout: dict) -> bool:
    """Checked without the schema under test."""
    boxes = [i["box"] for i in layout["instances"]]
    return (
        bool(layout["scene"].strip())
        and 1 <= len(boxes) <= 28
        and all(0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 for x1, y1, x2, y2 in boxes)
        and all(i[k].strip() for i in layout["instances"] for k in ("label", "category", "description"))
        and all(1 <= i["size"] <= 5 and type(i["from_query"]) is bool for i in layout["instances"])
        and all(i["modality"] == "text" or (i["modality"] == "image" and i["from_query"]) for i in layout["instances"])
    )


def test_all_released_layouts_parse(published):
    released = read_json(published / "CIRCO/released/test_layouts_first400.json")
    assert len(released) == 400
    instances = scenes = 0
    for layout in released.values():
        parsed = parse_layout(layout)
        assert is_valid(parsed.as_dict())
        assert parse_layout(json.dumps(layout) + "] #]") == parsed
        assert parse_layout(parsed.as_dict()) == parsed
        things = [item for item in layout["layout"] if not item["is_scene"]]
        assert [list(i.box) for i in parsed.instances] == [item["bbox"] for item in things]
        assert [i.modality for i in parsed.instances] == [item["ref"] for item in things]
        instances, scenes = instances + len(things), scenes + len(layout["layout"]) - len(things)
    assert (instances, scenes) == (1110, 408)


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(LAYOUT),
        f"Here you are:\n```json\n{json.dumps(LAYOUT, indent=1)}\n```\nEnjoy [it]!",
        f"[x] {{curly}} {json.dumps(LAYOUT)}",
        json.dumps(LAYOUT)[:-2] + ",],}",
        json.dumps({"layout": LAYOUT}),
        json.dumps(LAYOUT)[:-2] + ', {"label": "cut off he',
        json.dumps({"scene": LAYOUT["scene"], "instances": [*LAYOUT["instances"], DOG]}),
        json.dumps(LAYOUT).replace("[0.1, 0.2, 0.5, 0.9]", "[10, 20, 50, 90]"),
        json.dumps(LAYOUT).replace("[0.1, 0.2, 0.5, 0.9]", "[500, 900, 100, 200]"),
        json.dumps(LAYOUT).replace("[0.1, 0.2, 0.5, 0.9]", '"(0.1, 0.2, 0.5, 0.9)"'),
        json.dumps(LAYOUT).replace('"image"', '"image #]"').replace("3.0", '"3 (varies)"'),
    ],
)
def test_the_reader_is_tolerant(answer):
    assert parse_layout(answer).as_dict() == LAYOUT


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"box": [0.1, 0.2, 0.5]}, "instances[0].box"),
        ({"box": [0.1, 0.2, 0.5, float("nan")]}, "instances[0].box"),
        ({"box": [0, 0, 4000, 2000]}, "instances[0].box"),
        ({"box": None}, "instances[0].box"),
        ({"modality": "sound"}, "instances[0].modality"),
        ({"from_query": "perhaps"}, "instances[0].from_query"),
        ({"label": "", "category": None, "description": 3}, "instances[0].label"),
        ({"description": "x" * 700}, "instances[0].description"),
    ],
)
def test_errors_name_the_field(change, field):
    with pytest.raises(LayoutError) as caught:
        parse_layout({**LAYOUT, "instances": [{**DOG, **change}]})
    assert caught.value.field == field and field in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ("", "answer"),
        ("no layout", "answer"),
        ({"scene": "a meadow"}, "instances"),
        ({"scene": "a meadow", "instances": []}, "instances"),
        ({"scene": "a meadow", "instances": {"scene": "x", "instances": 3}}, "instances"),
        ({"scene": "a meadow", "instances": ["dog"]}, "instances[0]"),
        ({"instances": [DOG]}, "scene"),
        ({"scene": "a", "instances": [{**DOG, "label": str(n)} for n in range(29)]}, "instances"),
        (None, "instances"),
    ],
)
def test_what_is_no_layout_is_refused(answer, field):
    with pytest.raises(LayoutError) as caught:
        parse_layout(answer)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("box", "size", "stored"),
    [
        ([0.2, 1, 0.6, 1], 3, [0.2, 0.7, 0.6, 1.0]),
        ([0.5, 0, 0.5, 0.9], 2, [0.4, 0.0, 0.6, 0.9]),
        ([-0.2, 0.5, 0.3, 1.2], 5, [0.0, 0.5, 0.3, 1.0]),
    ],
)
def test_boxes_are_made_to_fit(box, size, stored):
    layout = parse_layout({"scene": "a lawn", "instances": [{**DOG, "box": box, "size": size}]})
    assert list(layout.instances[0].box) == pytest.approx(stored)


def test_sizes_and_scenes_of_the_released_kind():
    items = [{**DOG, "size": size, "label": str(n)} for n, size in enumerate(("2-3", "n/a", 10, "4.5", "2-1", None))]
    scenes = [{"label": "a hall", "desc": text, "is_scene": True} for text in ("bright hall.]", "", "bright hall.]")]
    layout = parse_layout([*items, *scenes])
    assert [i.size for i in layout.instances] == [2.5, 3, 5, 4.5, 1.5, 3]
    assert layout.scene == "bright hall.; a hall"


def test_the_released_reading():
    """Least digit of a range (a number outside 1 to 5 is none), first scene, modality as it is stated."""
    items = [{**DOG, "size": size, "label": str(n)} for n, size in enumerate(("2-3", "n/a", 10, "4.5", "2-1", None))]
    scenes = [{"label": "a hall", "desc": text, "is_scene": True} for text in ("bright hall.]", "another")]
    layout = parse_layout([*items, *scenes], "released")
    assert [i.size for i in layout.instances] == [2, 3, 1, 4.5, 1, 3]
    assert layout.scene == "bright hall."
    elsewhere = {**DOG, "from_query": False, "modality": "image"}
    drawn = [parse_layout([elsewhere, scenes[0]], reading).instances[0].modality for reading in ("careful", "released")]
    assert drawn == ["text", "image"]


def test_the_released_reading_rates_sizes_as_the_released_enrichment(published):
    """27 of the boxes of the whole release have a range for a size; these are the first 400 layouts."""
    differ = 0
    for layout in read_json(published / "CIRCO/released/test_layouts_first400.json").values():
        stated = [item["size"] for item in layout["layout"] if not item["is_scene"]]
        careful, released = (parse_layout(layout, reading).instances for reading in ("careful", "released"))
        for text, ours, theirs in zip(stated, careful, released, strict=True):
            digits = [digit for digit in "12345" if digit in text]
            assert theirs.size == (float(text) if re.fullmatch(r"[\d.]+", text) else float(digits[0]))
            differ += ours.size != theirs.size
    assert differ == 59


SCALARS = st.sampled_from(
    [None, True, False, 0, 1, -1, 3, 0.5, 1e999, float("nan"), 10**400, "", "3-4", "text #]", "\ud800", "é\0"]
)
VALUES = SCALARS | st.lists(SCALARS, max_size=4) | st.dictionaries(st.sampled_from([*DOG, "scene", "layout"]), SCALARS)
CHANGES = st.dictionaries(st.sampled_from([*DOG, "is_scene"]), VALUES, max_size=2)
NOISE = st.text(alphabet='{}[]",:\\#0e\n', max_size=3)


@st.composite
def answers(draw):
    """Layouts with changed fields, other JSON, and the text of either with a few characters cut, put in or changed."""
    items = [{**DOG, **change} for change in draw(st.lists(CHANGES, max_size=3))]
    value = {"scene": draw(VALUES), draw(st.sampled_from(["instances", "layout", "x"])): items}
    value = draw(st.sampled_from([value, value, items, {"layout": value}, LAYOUT, draw(VALUES)]))
    if draw(st.booleans()):
        return value
    text = json.dumps(value)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(NOISE) + text[at + draw(st.sampled_from([0, 0, 1, 9, 500])) :]
    return text


@pytest.mark.slow
@settings(max_examples=10_000, deadline=2000, derandomize=True, database=None)
@given(answers())
def test_fuzzed_answers_parse_or_raise_the_one_error(answer):
    try:
        layout = parse_layout(answer)
    except LayoutError as error:
        assert error.field
    else:
        assert isinstance(layout, Layout) and is_valid(layout.as_dict())
        json.dumps(layout.as_dict()).encode()
        assert parse_layout(layout.as_dict()) == layout


@pytest.mark.parametrize(
    "unit", ["[", "{", '{"a":', '"', ", ", "\\", '[{"instances":', json.dumps(DOG) + ",", "1", ",\n]"]
)
def test_reading_takes_linear_time(unit):
    def seconds(size):
        text = '{"scene":"x","instances":[' + unit * (size // len(unit))
        best = []
        for _ in range(3):
            start = time.perf_counter()
            with pytest.raises(LayoutError):
                parse_layout(text)
            best.append(time.perf_counter() - start)
        return min(best)

    assert seconds(160_000) < 0.05 + 30 * seconds(16_000)


@pytest.mark.parametrize(
    ("caption", "have", "want"),
    [
        ("shows two dogs", 3, 2),
        ("shows only one large dog", 2, 1),
        ("has 3 dogs", 1, 3),
        ("has three dogs", 3, 3),
        ("has one more dog", 2, 2),
        ("shows one of the dogs", 2, 2),
        ("has two cats", 3, 3),
        ("shows dogs", 3, 3),
    ],
)
def test_counts_follow_the_caption(caption, have, want):
    dogs = [{**DOG, "label": f"dog {n}", "category": "dog"} for n in range(have)]
    # "dog 1" would read as a stated number
    layout = parse_layout(
        {"scene": "a lawn", "instances": [{**d, "label": "dog", "size": 1 + n} for n, d in enumerate(dogs)]}
    )
    fixed, repairs = keep_counts(layout, caption)
    assert len(fixed.instances) == want and bool(repairs) == (have != want)
    assert is_valid(fixed.as_dict()) and len({i.box for i in fixed.instances}) >= (want if have == 1 else 1)


def test_a_group_in_one_box_counts_as_stated():
    layout = parse_layout({"scene": "a lawn", "instances": [{**DOG, "label": "two dogs"}]})
    assert keep_counts(layout, "shows two dogs") == (layout, [])


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
