"""The mini world: official formats, sound queries, the same bytes from the same seed."""

import hashlib
import json
import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from ipcir_steps.cli import main
from ipcir_steps.core.files import read_json, read_jsonl
from mini_world import garments, render, world
from mini_world.export import _wardrobe, export

ASPECTS = {
    "cardinality",
    "addition",
    "negation",
    "direct_addressing",
    "compare_change",
    "comparative_statement",
    "statement_with_conjunction",
    "spatial_relations_background",
    "viewpoint",
}


def digests(directory):
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_seed_same_bytes_other_seed_other_world(tmp_path, mini_world):
    assert main(f"mini world --seed 5 --output {tmp_path}/a --queries 12 --gallery 108".split()) == 0
    assert digests(tmp_path / "a") == digests(mini_world)
    export(tmp_path / "b", seed=6, queries=4, gallery=30)
    files = "cirr/captions/cap.rc2.val.json", "cirr/captions/cap.rc2.test1.json"
    for file in files:
        assert read_json(tmp_path / "b/mini_cirr" / file) != read_json(mini_world / "mini_cirr" / file)


def test_too_small_a_gallery_is_one_clear_error(tmp_path, capsys):
    assert main(f"mini world --seed 1 --output {tmp_path}/w --queries 40 --gallery 100".split()) == 2
    assert "--gallery of at least 300" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_cirr_val(mini_world):
    root = mini_world / "mini_cirr"
    names = read_json(root / "cirr/image_splits/split.rc2.val.json")
    queries = read_json(root / "cirr/captions/cap.rc2.val.json")
    assert len(names) == 108 and len(queries) == 12
    assert len({q["pairid"] for q in queries}) == 12
    for name, path in names.items():
        assert path == f"./dev/{name}.png"
        with Image.open(root / path) as image:
            assert image.size == (64, 64) and image.mode == "RGB"
    for query in queries:
        members = query["img_set"]["members"]
        assert len(set(members)) == 6 and set(members) <= set(names)
        assert members[query["img_set"]["reference_rank"]] == query["reference"]
        assert members[query["img_set"]["target_rank"]] == query["target_hard"]
        assert query["target_soft"] == {query["target_hard"]: 1.0}
        assert query["reference"] != query["target_hard"]


def test_cirr_test_hides_targets(mini_world):
    root = mini_world / "mini_cirr"
    names = read_json(root / "cirr/image_splits/split.rc2.test1.json")
    queries = read_json(root / "cirr/captions/cap.rc2.test1.json")
    assert len(queries) == 3 and not set(names) & set(read_json(root / "cirr/image_splits/split.rc2.val.json"))
    for query in queries:
        assert set(query) == {"pairid", "reference", "caption", "img_set"}
        assert set(query["img_set"]) == {"id", "members", "reference_rank"}
        assert query["reference"] in query["img_set"]["members"]
    assert all((root / path).is_file() for path in names.values())


def test_circo(mini_world):
    root = mini_world / "mini_circo"
    info = read_json(root / "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json")["images"]
    ids = {image["id"] for image in info}
    assert len(ids) == len(info) == 108
    for image in info:
        assert image["file_name"] == f"{image['id']:012d}.jpg"
        with Image.open(root / "COCO2017_unlabeled/unlabeled2017" / image["file_name"]) as picture:
            assert picture.format == "JPEG" and picture.size == (image["width"], image["height"])
    val, test = (read_json(root / f"annotations/{split}.json") for split in ("val", "test"))
    assert [q["id"] for q in val] == list(range(12)) and [q["id"] for q in test] == list(range(3))
    for query in val:
        targets = query["gt_img_ids"]
        assert targets[0] == query["target_img_id"] and 2 <= len(targets) == len(set(targets))
        assert set(targets) <= ids and query["reference_img_id"] in ids - set(targets)
        assert query["semantic_aspects"] and set(query["semantic_aspects"]) <= ASPECTS
    for query in test:
        assert set(query) == {"reference_img_id", "relative_caption", "shared_concept", "id"}


def test_circo_targets_are_all_images_that_answer(mini_world):
    """Rebuilt from the scene files alone: what is common to all targets is in no other image of the gallery."""
    scenes = {r["image"]: r for r in read_jsonl(mini_world / "scenes/mini_circo.images.jsonl")}

    def look(record):
        return record["background"], sorted((t["shape"], t["colour"]) for t in record["things"])

    for query in read_jsonl(mini_world / "scenes/mini_circo.queries.jsonl"):
        looks = [look(scenes[i]) for i in query["targets"]]
        assert all(value == looks[0] for value in looks)
        if not set(query["edit"].split("+")) & {"size", "place", "add"}:
            assert {i for i, r in scenes.items() if look(r) == looks[0]} == set(query["targets"])


def test_fashioniq(mini_world):
    root = mini_world / "mini_fashioniq"
    used, counts = Counter(), Counter()
    for kind in ("dress", "shirt", "toptee"):
        for split, size in (("val", 36), ("test", 9)):
            names = read_json(root / f"image_splits/split.{kind}.{split}.json")
            queries = read_json(root / f"captions/cap.{kind}.{split}.json")
            assert len(names) == len(set(names)) == size
            used.update(names)
            counts[split] += len(queries)
            for query in queries:
                assert set(query) == {"candidate", "captions"} | ({"target"} if split == "val" else set())
                assert len(set(query["captions"])) == 2 and query["candidate"] in names
                assert split == "test" or query["target"] in set(names) - {query["candidate"]}
    assert counts == {"val": 12, "test": 3} and set(used.values()) == {1}
    assert {p.stem for p in (root / "images").iterdir()} == set(used)


@pytest.mark.parametrize("dataset", ["mini_cirr", "mini_circo", "mini_fashioniq"])
def test_hidden_targets_lie_in_the_scene_files_only(mini_world, dataset):
    queries = read_jsonl(mini_world / f"scenes/{dataset}.queries.jsonl")
    hidden = [q for q in queries if q["split"] != "val"]
    assert len(hidden) == 3 and all(q["targets"] for q in hidden)
    annotations = [p for p in (mini_world / dataset).rglob("*.json") if "test" in p.name and "split" not in p.name]
    text = json.dumps([read_json(p) for p in annotations])
    assert annotations and not any(word in text for word in ("target", "gt_img_ids", 'background":'))


@pytest.mark.parametrize("dataset", ["mini_cirr", "mini_fashioniq"])
def test_nothing_else_in_the_gallery_looks_like_the_target(mini_world, dataset):
    def look(record):
        things = [{k: v for k, v in t.items() if k != "detail"} for t in record.get("things", [])]
        values = {k: v for k, v in record.items() if k not in ("image", "split", "detail", "caption", "things")}
        if values.get("pattern") == "plain":
            del values["ink"]
        return json.dumps([values, sorted(things, key=str)], sort_keys=True)

    images = read_jsonl(mini_world / f"scenes/{dataset}.images.jsonl")
    looks = {r["image"]: look(r) for r in images}
    splits = {r["image"]: r["split"] for r in images}
    for query in read_jsonl(mini_world / f"scenes/{dataset}.queries.jsonl"):
        (target,) = query["targets"]
        same = [n for n, value in looks.items() if value == looks[target] and splits[n] == query["split"]]
        assert same == [target]


def test_a_full_wardrobe_has_one_answer_per_query():
    pictures, queries = _wardrobe(random.Random(7), "dress", queries=100, size=1300, names=set())
    keys = Counter(garment.key() for garment in pictures.values())
    assert len(pictures) == 1300 and max(keys.values()) > 1
    assert {keys[pictures[target].key()] for _, target, _ in queries} == {1}


def test_edits_change_what_they_say():
    rng = random.Random(1)
    seen = set()
    for _ in range(600):
        scene = world.random_scene(rng)
        edit = world.random_edit(scene, rng)
        seen.add(edit.kind)
        assert edit.target.key() != scene.key()
        assert edit.target.detail == scene.detail and edit.caption == edit.caption.strip()
        assert not {"{", "}"} & set(edit.caption)
        for s in (scene, edit.target):
            assert len({t.shape for t in s.things}) == len({t.place for t in s.things}) == len(s.things) <= world.MOST
            assert s.background not in {t.colour for t in s.things}
        if edit.kind == "remove":
            assert len(edit.target.things) == len(scene.things) - 1
        elif edit.kind == "add":
            assert len(edit.target.things) == len(scene.things) + 1
    assert seen == set(world.KINDS)


def test_garment_edits_are_visible():
    rng = random.Random(2)
    for number in range(400):
        garment = garments.random_garment(rng, garments.KINDS[number % 3])
        target, captions = garments.random_edit(garment, rng)
        assert target.key() != garment.key() and captions[0] != captions[1]
        assert target.colour != target.ink or target.pattern == "plain"


def test_detail_shows_in_pixels_but_not_in_the_caption():
    rng = random.Random(3)
    scene = world.random_scene(rng, 2)
    again = world.redrawn(scene, rng, whole=True)
    assert world.describe(scene) == world.describe(again) and scene.key() == again.key()
    a, b = (np.asarray(render.draw(s), int) for s in (scene, again))
    assert 0 < np.abs(a - b).mean() < 40


def test_things_are_drawn_in_their_box():
    rng = random.Random(4)
    for _ in range(20):
        scene = world.random_scene(rng, 1)
        empty = np.asarray(render.draw(scene.with_things()), int)
        ys, xs = np.nonzero(np.abs(np.asarray(render.draw(scene), int) - empty).sum(-1) > 60)
        drawn = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / render.SIZE
        assert (drawn[:2] > np.array(scene.things[0].box[:2]) - 0.06).all()
        assert (drawn[2:] < np.array(scene.things[0].box[2:]) + 0.06).all()
