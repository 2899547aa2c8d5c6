"""Layouts: the tolerant reader."""

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipcir_steps.core.files import read_json
from ipcir_steps.imagine.layouts import Layout, LayoutError, parse_layout
from tests.imagine.layouts.example import DOG, LAYOUT, is_valid


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
