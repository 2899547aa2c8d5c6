"""The mini world on disk, in the official layouts of CIRR, CIRCO and FashionIQ.

The truth, hidden targets included, lies apart in ``scenes/``; no step of the pipeline reads it.
"""

import dataclasses
import random
import string
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import seed as derive
from ipcir_steps.core.files import write_json, write_jsonl
from mini_world import garments, render, world
from mini_world import twins as twin_world

SHARE = 4  # a test part has 1 / SHARE of the queries and images of its val part
_PER_GROUP = 4  # queries of one CIRR image set
_PER_QUERY = 6  # most images that a CIRCO query adds: its reference, four targets, a sibling
_ASIN = string.digits + string.ascii_uppercase


def export(
    directory: Path, seed: int, queries: int, gallery: int, datasets: Iterable[str] = ("cirr", "circo", "fashioniq")
) -> None:
    """Render the datasets. queries, gallery: size of each val part (FashionIQ: summed over its categories)."""
    for name in datasets:
        asked = max(queries, SHARE)
        least = _PER_QUERY * (asked if name == "twins" else asked + asked // SHARE)
        if queries < SHARE or gallery < least:
            raise InputError(
                f"{queries} queries do not fit in a gallery of {gallery} images",
                field="gallery",
                remedy=f"Use --queries of at least {SHARE} and --gallery of at least {least}.",
            )
    for name in datasets:
        {"cirr": cirr, "circo": circo, "fashioniq": fashioniq, "twins": twins}[name](directory, seed, queries, gallery)


# --- CIRR --------------------------------------------------------------------------------------------------------

Edges = list[tuple[int, int, world.Edit]]  # (from, to, the edit between two scenes of an image set)


def cirr(directory: Path, seed: int, queries: int, gallery: int) -> None:
    """Image sets of six, a chain of edits and two siblings; four queries per set, further sets as distractors."""
    parts = (("dev", "val", queries, gallery), ("test1", "test1", queries // SHARE, gallery // SHARE))
    _image_sets(directory, "mini_cirr", seed, parts, _chain, render.draw)


def twins(directory: Path, seed: int, queries: int, gallery: int) -> None:
    """Image sets of six with a query each, whose target has a twin; in the layout of CIRR, without a test part."""
    parts = (("dev", "val", queries, gallery),)
    _image_sets(directory, twin_world.NAME, seed, parts, twin_world.image_set, twin_world.draw)


def _image_sets(directory: Path, dataset: str, seed: int, parts, make, draw) -> None:
    """A dataset in CIRR's layout. parts: (folder, split, queries, images); make, draw: an image set, a picture."""
    root = directory / dataset
    seen, truth, asked, pair = set(), [], [], 12060
    for folder, split, count, size in parts:
        rng = random.Random(derive(seed, dataset, split))
        names, annotations = {}, []
        for group in range(size // 6):
            scenes, edges = _unseen(make, rng, seen)
            members = [f"{folder}-{group}-{i // 2}-img{i % 2}" for i in range(6)]
            for name, scene in zip(members, scenes, strict=True):
                names[name] = f"./{folder}/{name}.png"
                _save(root / folder / f"{name}.png", draw(scene))
                truth.append(_record(name, scene, split))
            order = rng.sample(members, 6)
            for a, b, edit in edges[: count - len(annotations)]:
                image_set = {"id": group, "members": order, "reference_rank": order.index(members[a])}
                annotation = {"pairid": pair, "reference": members[a]}
                if split == "val":
                    annotation |= {"target_hard": members[b], "target_soft": {members[b]: 1.0}}
                    image_set["target_rank"] = order.index(members[b])
                annotations.append(annotation | {"caption": edit.caption, "img_set": image_set})
                asked.append(_question(pair, split, members[a], [members[b]], [edit.caption], edit.kind))
                pair += 1
        write_json(root / "cirr" / "captions" / f"cap.rc2.{split}.json", annotations)
        write_json(root / "cirr" / "image_splits" / f"split.rc2.{split}.json", names)
    _truth(directory, dataset, truth, asked)


def _unseen(make, rng: random.Random, seen: set) -> tuple[list[world.Scene], Edges]:
    """An image set that shows nothing that was ``seen``, and nothing twice but for twins."""
    while True:
        scenes, edges = make(rng)
        keys = {scene.key() for scene in scenes}
        if len(keys) == len(scenes) - (make is twin_world.image_set) and not keys & seen:
            seen |= keys
            return scenes, edges


def _chain(rng: random.Random) -> tuple[list[world.Scene], Edges]:
    """Six scenes and the edits between them that are asked for."""
    scenes, edges = [world.random_scene(rng)], []
    for to, start in enumerate((0, 1, 2, 0, 2), 1):
        edit = world.random_edit(scenes[start], rng)
        scenes.append(edit.target)
        edges.append((start, to, edit))
    return scenes, edges[:_PER_GROUP]


# --- CIRCO -------------------------------------------------------------------------------------------------------


def circo(directory: Path, seed: int, queries: int, gallery: int) -> None:
    """One gallery for val and test. A query's targets are all images that answer it, two to four of them."""
    root = directory / "mini_circo"
    rng = random.Random(derive(seed, "mini_circo"))
    ids = iter(rng.sample(range(1, 581_929), gallery))
    images: dict[int, world.Scene] = {}

    def place(scene: world.Scene) -> int:
        images[identifier := next(ids)] = scene
        return identifier

    drafts, seen = [], set()
    for split, count in (("val", queries), ("test", queries // SHARE)):
        for number in range(count):
            reference, edit = _circo_query(rng, seen)
            free = {(t.shape, f) for t in edit.target.things for f in ("size", "place")} - edit.mentions
            vary = frozenset(free)
            targets = [place(edit.target)]
            targets += [place(world.redrawn(edit.target, rng, vary, whole=True)) for _ in range(rng.randint(1, 3))]
            drafts.append((split, number, place(reference), targets[0], reference, edit))
            sibling = world.random_edit(edit.target, rng, ("colour", "shape", "background"))
            place(sibling.target)
    while len(images) < gallery:
        scene = world.random_scene(rng)
        if scene.key(frozenset()) not in seen:
            place(scene)

    for identifier, scene in images.items():
        _save(root / "COCO2017_unlabeled" / "unlabeled2017" / f"{identifier:012d}.jpg", render.draw(scene))
    truth = [_record(identifier, scene, "unlabeled") for identifier, scene in images.items()]
    annotations, asked = {"val": [], "test": []}, []
    for split, number, reference_id, target_id, reference, edit in drafts:
        answer = edit.target.key(edit.mentions)
        others = [i for i, s in images.items() if i != target_id and s.key(edit.mentions) == answer]
        annotation = {"reference_img_id": reference_id}
        if split == "val":
            annotation["target_img_id"] = target_id
        annotation |= {"relative_caption": edit.caption, "shared_concept": _shared(reference, edit.target)}
        if split == "val":
            annotation["gt_img_ids"] = [target_id, *others]
        annotation["id"] = number
        if split == "val":
            annotation["semantic_aspects"] = list(edit.aspects)
        annotations[split].append(annotation)
        asked.append(_question(number, split, reference_id, [target_id, *others], [edit.caption], edit.kind))
    for split, records in annotations.items():
        write_json(root / "annotations" / f"{split}.json", records)
    write_json(root / "COCO2017_unlabeled" / "annotations" / "image_info_unlabeled2017.json", _image_info(images))
    _truth(directory, "mini_circo", truth, asked)


def _circo_query(rng: random.Random, seen: set) -> tuple[world.Scene, world.Edit]:
    """A reference and an edit whose answer differs from those of all queries before, and from the reference."""
    while True:
        reference = world.random_scene(rng)
        edit = world.random_edit(reference, rng)
        if rng.random() < 0.3:
            # A background beside something else: the two never undo or rename one another.
            kinds = ("background",) if edit.kind != "background" else ("colour", "shape", "add")
            edit = world.joined(edit, world.random_edit(edit.target, rng, kinds))
        answer = edit.target.key(frozenset())
        alike = reference.key(edit.mentions) == edit.target.key(edit.mentions)
        if answer not in seen and not alike:
            seen.add(answer)
            return reference, edit


def _shared(reference: world.Scene, target: world.Scene) -> str:
    """What both images have in common, as CIRCO's shared_concept."""
    kept = {(t.shape, t.colour) for t in target.things}
    for thing in reference.things:
        if (thing.shape, thing.colour) in kept:
            return world.article(f"{thing.colour} {thing.shape}")
    shapes = {t.shape for t in target.things}
    return next((world.article(t.shape) for t in reference.things if t.shape in shapes), "a coloured shape")


def _image_info(images: dict) -> dict:
    entries = [
        {"license": 0, "file_name": f"{i:012d}.jpg", "height": render.SIZE, "width": render.SIZE, "id": i}
        for i in images
    ]
    return {"info": {"description": "mini world"}, "licenses": [], "images": entries, "categories": []}


# --- FashionIQ ---------------------------------------------------------------------------------------------------


def fashioniq(directory: Path, seed: int, queries: int, gallery: int) -> None:
    """Three categories; per query a reference, its target and near misses; the rest of a gallery is random."""
    root = directory / "mini_fashioniq"
    truth, asked, names = [], [], set()
    for index, kind in enumerate(garments.KINDS):
        for split, share in (("val", 1), ("test", SHARE)):
            rng = random.Random(derive(seed, "mini_fashioniq", kind, split))
            count = (queries // share + 2 - index) // 3
            pictures, annotations = _wardrobe(rng, kind, count, gallery // share // 3, names)
            for name, garment in pictures.items():
                _save(root / "images" / f"{name}.png", render.draw(garment))
                truth.append(_record(name, garment, split))
            for number, (reference, target, captions) in enumerate(annotations):
                asked.append(_question(f"{kind}-{number}", split, reference, [target], captions, kind))
            records = [
                ({"target": target} if split == "val" else {}) | {"candidate": reference, "captions": list(captions)}
                for reference, target, captions in annotations
            ]
            write_json(root / "captions" / f"cap.{kind}.{split}.json", records)
            write_json(root / "image_splits" / f"split.{kind}.{split}.json", rng.sample(list(pictures), len(pictures)))
    _truth(directory, "mini_fashioniq", truth, asked)


def _wardrobe(rng: random.Random, kind: str, queries: int, size: int, names: set):
    """Pictures {name: Garment} and queries [(reference, target, captions)]; nothing else looks like a target."""
    pictures, annotations, taken, answers = {}, [], set(), set()

    def place(garment) -> str:
        while (name := "B" + "".join(rng.choices(_ASIN, k=9))) in names:
            pass
        names.add(name)
        taken.add(garment.key())
        pictures[name] = garment
        return name

    while len(annotations) < queries:
        reference = garments.random_garment(rng, kind)
        target, captions = garments.random_edit(reference, rng)
        if reference.key() in answers or target.key() in taken or target.key() == reference.key():
            continue
        answers.add(target.key())
        annotations.append((place(reference), place(target), captions))
        sibling, _ = garments.random_edit(target, rng)
        if sibling.key() not in answers:
            place(sibling)
    while len(pictures) < size:
        garment = garments.random_garment(rng, kind)
        if garment.key() not in answers:
            place(garment)
    return pictures, annotations


# --- shared ------------------------------------------------------------------------------------------------------


def _save(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 95} if path.suffix == ".jpg" else {}
    image.save(path, **options)


def _record(name, picture, split: str) -> dict:
    """What an image shows."""
    caption = garments.describe(picture) if isinstance(picture, garments.Garment) else world.describe(picture)
    return {"image": name, "split": split, "caption": caption, **dataclasses.asdict(picture)}


def _question(query, split, reference, targets, captions: Iterable[str], kind: str) -> dict:
    """A query with its targets, also where the official file hides them."""
    return {
        "query": query,
        "split": split,
        "reference": reference,
        "targets": targets,
        "captions": list(captions),
        "edit": kind,
    }


def _truth(directory: Path, dataset: str, images: list[dict], queries: list[dict]) -> None:
    write_jsonl(directory / "scenes" / f"{dataset}.images.jsonl", images)
    write_jsonl(directory / "scenes" / f"{dataset}.queries.jsonl", queries)
