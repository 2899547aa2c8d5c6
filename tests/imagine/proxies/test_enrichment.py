"""Enrichment equals the published code; boxes stay inside the image and are the same in every run."""

import importlib.util
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from ipcir_steps.core.boxes import clip, iou, overlap
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.imagine.proxies.enrichment import RULES, enrich, nudge, place, published_size, read_statistics
from ipcir_steps.imagine.proxies.generator import Instance, Task

PERSON = {"person": {"length_mean": 0.15, "length_std": 0.1, "aspect_ratio_mean": 0.5, "aspect_ratio_std": 0.2}}


def task(*instances, seed=1):
    return Task("q", "caption", "scene", instances, (seed,))


def layout(items):
    return [Instance("d", category, box, size) for category, box, size in items]


@pytest.fixture(scope="module")
def cases():
    path = Path(__file__).parent / "enrichment_cases.py"
    spec = importlib.util.spec_from_file_location("enrichment_cases", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def published_numbers():
    return load_file(Path(__file__).parents[2] / "data" / "published_enrichment.safetensors")


def test_equal_to_the_published_code(cases, published_numbers):
    """All boxes of 60 layouts, started with the seeds 0-59, as the published function returned them."""
    layouts = enumerate(cases.synthetic())
    boxes = [nudge(layout(items), cases.STATISTICS, published_size, n) for n, items in layouts]
    ours = np.array([box for some in boxes for box in some])
    assert ours.shape == published_numbers["synthetic"].shape
    assert np.abs(ours - published_numbers["synthetic"]).max() <= 1e-12


def test_equal_to_the_published_code_on_the_released_layouts(cases, published, published_numbers):
    """A weighted sum of the boxes of each of the 400 layouts, started with the seeds 0-399."""
    layouts, statistics = cases.released(published)
    assert len(layouts) == 400
    for n, (items, theirs) in enumerate(zip(layouts, published_numbers["released"], strict=True)):
        boxes = nudge(layout(items), statistics, published_size, n)
        assert np.sum(boxes, 0) @ np.array([1, 2, 3, 5.0]) == pytest.approx(theirs, abs=1e-9)


def test_released_boxes_could_be_ours(cases, published):
    """The released enriched boxes have sizes that the rule can draw; those cut at the edge of the image aside."""
    values = read_json(published / "CIRCO" / "released" / "test_layouts_first400.json").values()
    _, statistics = cases.released(published)
    fits = []
    for item in (item for value in values for item in value["layout"] if not item["is_scene"]):
        if item["cate"] not in statistics or min(item["bbox"][:2]) <= 0 or max(item["bbox"][2:]) >= 1:
            continue
        (w, h), (new_w, new_h) = ((b[2] - b[0], b[3] - b[1]) for b in (item["obbox"], item["bbox"]))
        widths = [a * x + (1 - a) * w for a in (0.1, 0.3) for x in (0.1, 0.7)]
        ratios = [a * x + (1 - a) * w / h for a in (0.7, 0.8) for x in (0.1, 0.7)]
        kept = new_w / new_h == pytest.approx(w / h)
        fits.append(
            min(widths) - 1e-9 <= new_w <= max(widths) + 1e-9
            and (kept or min(ratios) - 1e-9 <= new_w / new_h <= max(ratios) + 1e-9)
        )
    assert len(fits) > 200 and sum(fits) >= len(fits) - 1


fractions = st.floats(0, 1, width=32)


@st.composite
def boxes(draw):
    x1, x2 = sorted((draw(fractions), draw(fractions)))
    y1, y2 = sorted((draw(fractions), draw(fractions)))
    return (x1 * 0.9, y1 * 0.9, x2 * 0.9 + 0.1, y2 * 0.9 + 0.1)


@given(
    st.lists(boxes(), min_size=1, max_size=6),
    st.integers(0, 99),
    st.sampled_from(["person", "thing"]),
    st.sampled_from(list(RULES)),
)
def test_boxes_stay_inside_and_keep_area(drawn, seed, category, rule):
    planned = task(*(Instance("d", category, box, size=n + 1) for n, box in enumerate(drawn)), seed=seed)
    enriched = enrich(planned, PERSON, rule)
    assert enriched == enrich(planned, PERSON, rule)
    for instance in enriched.instances:
        x1, y1, x2, y2 = instance.box
        assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1


def test_another_seed_gives_other_boxes():
    planned = [task(Instance("a person", "person", (0.2, 0.3, 0.8, 0.6)), seed=seed) for seed in (1, 2)]
    assert enrich(planned[0], PERSON).instances != enrich(planned[1], PERSON).instances


def test_no_draw_in_range_keeps_the_planned_shape():
    """The published code computes NaN here."""
    wide = {"skis": {"length_mean": 0.9, "length_std": 0.0, "aspect_ratio_mean": 3.0, "aspect_ratio_std": 0.0}}
    box = (0.2, 0.3, 0.6, 0.5)
    x1, y1, x2, y2 = enrich(task(Instance("d", "skis", box)), wide).instances[0].box
    assert (x2 - x1, y2 - y1) == pytest.approx((0.4, 0.2))


def test_mean_rule_moves_size_and_shape_towards_the_category():
    wide = Instance("a person", "person", (0.2, 0.3, 0.8, 0.6), size=5)
    x1, y1, x2, y2 = enrich(task(wide), PERSON, "mean").instances[0].box
    assert 0.15 < x2 - x1 < 0.6
    assert 0.5 < (x2 - x1) / (y2 - y1) < 2.0
    small = enrich(task(Instance("a", "person", wide.box, size=1)), PERSON, "mean").instances[0].box
    assert abs((small[2] - small[0]) - 0.6) < abs((x2 - x1) - 0.6)


def test_only_the_mean_rule_draws_wide_categories_wide():
    bed = {"bed": {"length_mean": 0.7, "length_std": 0.3, "aspect_ratio_mean": 1.85, "aspect_ratio_std": 1.3}}
    planned, ratios = Instance("a bed", "bed", (0.3, 0.3, 0.7, 0.7), size=5), {}
    for rule in RULES:
        x1, y1, x2, y2 = enrich(task(planned), bed, rule).instances[0].box
        ratios[rule] = (x2 - x1) / (y2 - y1)
    assert ratios["published"] < 0.75 and ratios["mean"] > 1.5


@pytest.mark.parametrize("rule", RULES)
def test_unknown_categories_follow_their_size_rating(rule):
    small, large = Instance("d", "x", (0.4, 0.4, 0.5, 0.5), size=5), Instance("d", "x", (0.1, 0.1, 0.9, 0.9), size=1)
    for instance, grows in ((small, True), (large, False)):
        box = enrich(task(instance), {}, rule).instances[0].box
        assert ((box[2] - box[0]) > (instance.box[2] - instance.box[0])) == grows


def test_a_box_moves_away_from_its_neighbour():
    box, neighbour = (0.3, 0.3, 0.6, 0.6), (0.5, 0.3, 0.9, 0.6)
    moved = place(box, 0.3, 0.3, [neighbour], random.Random(1))
    assert overlap(moved, neighbour) < overlap(box, neighbour)
    assert place(box, 0.3, 0.3, [], random.Random(1)) == pytest.approx(box)


def test_clip():
    assert clip((-0.1, 0.2, 0.5, 1.3)) == (0.0, 0.2, 0.5, 1.0)


def test_iou():
    assert iou((0, 0, 0.5, 1), (0.25, 0, 0.75, 1)) == pytest.approx(1 / 3)
    assert iou((0, 0, 0.1, 0.1), (0.5, 0.5, 1, 1)) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"person": {"length_mean": 0.1, "length_std": 0.1}}, "record person: field 'aspect_ratio_mean'"),
        ({"person": {**PERSON["person"], "length_mean": 0}}, "field 'length_mean'"),
        ([], "not an object"),
    ],
)
def test_bad_statistics(tmp_path, values, message):
    write_json(tmp_path / "statistics.json", values)
    with pytest.raises(InputError, match=message):
        read_statistics(tmp_path / "statistics.json")


def test_published_statistics_are_read(published):
    values = read_statistics(published / "CIRCO" / "released" / "coco_box_statistics.json")
    assert values["person"]["aspect_ratio_mean"] == pytest.approx(0.637, abs=1e-3)
