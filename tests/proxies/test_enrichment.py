"""Boxes move towards their category and apart, stay inside the image, and are the same in every run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcir_steps.errors import InputError
from ipcir_steps.files import write_json
from ipcir_steps.proxies.enrichment import enrich, iou, overlap, place, read_statistics
from ipcir_steps.proxies.generator import Instance, Task

PERSON = {"person": {"length_mean": 0.15, "aspect_ratio_mean": 0.5}}


def task(*instances, seed=1):
    return Task("q", "caption", "scene", instances, (seed,))


fractions = st.floats(0, 1, width=32)


@st.composite
def boxes(draw):
    x1, x2 = sorted((draw(fractions), draw(fractions)))
    y1, y2 = sorted((draw(fractions), draw(fractions)))
    return (x1 * 0.9, y1 * 0.9, x2 * 0.9 + 0.1, y2 * 0.9 + 0.1)


@given(st.lists(boxes(), min_size=1, max_size=6), st.integers(0, 99), st.sampled_from(["person", "thing"]))
def test_boxes_stay_inside_and_keep_area(drawn, seed, category):
    planned = task(*(Instance("d", category, box, size=n + 1) for n, box in enumerate(drawn)), seed=seed)
    enriched = enrich(planned, PERSON)
    assert enriched == enrich(planned, PERSON)
    for instance in enriched.instances:
        x1, y1, x2, y2 = instance.box
        assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1


def test_size_and_shape_move_towards_the_category():
    wide = Instance("a person", "person", (0.2, 0.3, 0.8, 0.6), size=5)
    x1, y1, x2, y2 = enrich(task(wide), PERSON).instances[0].box
    assert 0.15 < x2 - x1 < 0.6
    assert 0.5 < (x2 - x1) / (y2 - y1) < 2.0
    small = enrich(task(Instance("a", "person", wide.box, size=1)), PERSON).instances[0].box
    assert abs((small[2] - small[0]) - 0.6) < abs((x2 - x1) - 0.6)


def test_unknown_categories_follow_their_size_rating():
    small, large = Instance("d", "x", (0.4, 0.4, 0.5, 0.5), size=5), Instance("d", "x", (0.1, 0.1, 0.9, 0.9), size=1)
    for instance, grows in ((small, True), (large, False)):
        box = enrich(task(instance), {}).instances[0].box
        assert ((box[2] - box[0]) > (instance.box[2] - instance.box[0])) == grows


def test_a_box_moves_away_from_its_neighbour():
    import random

    box, neighbour = (0.3, 0.3, 0.6, 0.6), (0.5, 0.3, 0.9, 0.6)
    moved = place(box, 0.3, 0.3, [neighbour], random.Random(1))
    assert overlap(moved, neighbour) < overlap(box, neighbour)
    assert place(box, 0.3, 0.3, [], random.Random(1)) == pytest.approx(box)


def test_iou():
    assert iou((0, 0, 0.5, 1), (0.25, 0, 0.75, 1)) == pytest.approx(1 / 3)
    assert iou((0, 0, 0.1, 0.1), (0.5, 0.5, 1, 1)) == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"person": {"length_mean": 0.1}}, "record person: field 'aspect_ratio_mean'"),
        ({"person": {"length_mean": 0, "aspect_ratio_mean": 1}}, "field 'length_mean'"),
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
