"""The demo's world: a twin is the target in words and another picture."""

import random

import numpy as np
import pytest

from ipcir_steps.core.files import read_json, read_jsonl
from mini_world import render, twins, world
from mini_world.export import export
from mini_world.training import captioner, statements

REFERENCE, TARGET, TWIN = range(3)
QUERIES, IMAGES = 8, 60


@pytest.fixture(scope="module")
def sets():
    rng = random.Random(7)
    return [twins.image_set(rng) for _ in range(60)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    directory = tmp_path_factory.mktemp("twins")
    export(directory, seed=5, queries=QUERIES, gallery=IMAGES, datasets=["twins"])
    return directory


def test_no_caption_tells_a_twin_from_its_target(sets):
    for scenes, _ in sets:
        target, twin = scenes[TARGET], scenes[TWIN]
        for template in range(len(world.TEMPLATES)):
            assert world.describe(twin, template) == world.describe(target, template)
        # Nothing that a caption of the trainings may state, whole or in part, is true of one alone.
        assert statements.facts(twin) == statements.facts(target)
        for seed in range(5):
            assert captioner.describe(twin, random.Random(seed)) == captioner.describe(target, random.Random(seed))


def test_a_twin_is_another_picture(sets):
    for scenes, _ in sets:
        target, twin = (np.asarray(twins.draw(scenes[which]), int) for which in (TARGET, TWIN))
        assert twins.texture(scenes[TWIN]) != twins.texture(scenes[TARGET])
        assert np.abs(target - twin).mean() > 4


def test_a_target_keeps_what_its_reference_shows_beside_the_change(sets):
    for scenes, [(start, end, edit)] in sets:
        reference, target = scenes[REFERENCE], scenes[TARGET]
        assert (start, end) == (REFERENCE, TARGET) and edit.target.key() == target.key()
        assert target.detail == reference.detail and target.background != reference.background
        details = {thing.shape: thing.detail for thing in reference.things}
        for thing in target.things:
            assert thing.detail == details.get(thing.shape, thing.detail)
        assert {t.detail for t in scenes[TWIN].things}.isdisjoint(t.detail for t in target.things)


def test_half_an_edit_is_no_answer(sets):
    for scenes, _ in sets:
        keys = {scene.key() for scene in scenes}
        first, second = scenes[3:5]
        assert {first.background, second.background} == {scenes[0].background, scenes[1].background}
        assert first.things == scenes[REFERENCE].things and second.things == scenes[TARGET].things
        assert len(keys) <= len(scenes) - 1


def test_all_textures_differ_and_are_in_use(sets):
    assert {twins.texture(scenes[REFERENCE]) for scenes, _ in sets} == set(twins.TEXTURES)
    plain = render.draw(sets[0][0][REFERENCE])
    assert np.abs(np.asarray(plain, int) - np.asarray(twins.draw(sets[0][0][REFERENCE]), int)).mean() > 3


def test_only_its_twin_looks_like_a_target_in_words(exported):
    images = {record["image"]: record for record in read_jsonl(exported / "scenes/mini_twins.images.jsonl")}
    queries = read_jsonl(exported / "scenes/mini_twins.queries.jsonl")
    assert len(images) == IMAGES and len(queries) == QUERIES
    for query in queries:
        [target] = query["targets"]
        same = [name for name, record in images.items() if record["caption"] == images[target]["caption"]]
        assert len(same) == 2 and target in same and query["reference"] not in same


def test_the_layout_is_cirrs(exported):
    root = exported / "mini_twins"
    names = read_json(root / "cirr/image_splits/split.rc2.val.json")
    annotations = read_json(root / "cirr/captions/cap.rc2.val.json")
    assert sorted(p.name for p in (root / "cirr/captions").iterdir()) == ["cap.rc2.val.json"]
    assert len(names) == IMAGES and all((root / path).is_file() for path in names.values())
    for annotation in annotations:
        members = annotation["img_set"]["members"]
        assert len(set(members)) == 6 and {annotation["reference"], annotation["target_hard"]} <= set(members)


def test_too_small_a_gallery_is_refused(tmp_path):
    from ipcir_steps.core.errors import InputError

    with pytest.raises(InputError, match="at least 60"):
        export(tmp_path / "world", seed=5, queries=10, gallery=59, datasets=["twins"])
