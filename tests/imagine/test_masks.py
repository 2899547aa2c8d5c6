"""Reference-instance masks from a tiny untrained Grounding DINO and SAM."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image as PILImage

from ipcir_steps.cli import main
from ipcir_steps.config.vision import Masks
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.files import read_json, read_jsonl, write_jsonl
from ipcir_steps.core.masks import decode_rle, encode_rle
from ipcir_steps.core.records import Image, Query, read_images, write_records
from ipcir_steps.imagine import masks
from mini_world import models as mini

FOUND = {"box_threshold": 0.0, "text_threshold": 0.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Directories of a detector and a segmenter."""
    import torch

    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    mini.grounding_dino(root / "detector")
    mini.sam(root / "segmenter")
    return root / "detector", root / "segmenter"


def instance(category, modality="image"):
    return {"category": category, "modality": modality}


@pytest.fixture
def inputs(tmp_path):
    generator = np.random.default_rng(0)
    for n in range(3):
        pixels = generator.integers(0, 255, (48, 30 + 20 * n, 3), dtype=np.uint8)
        PILImage.fromarray(pixels).save(tmp_path / f"{n}.png")
    (tmp_path / "2.png").write_bytes(b"no image")
    write_records(tmp_path / "references.jsonl", [Image(f"r{n}", f"{n}.png") for n in range(3)])
    references = ["r0", "r0", "r1", "r2", "r1", "r1"]
    write_records(tmp_path / "queries.jsonl", [Query(f"q{n}", r, ("x",)) for n, r in enumerate(references)])
    layouts = [
        [instance("dog"), instance("sky", "text"), instance("cat")],
        [instance("Dog"), instance("dog")],
        [instance("dog")],
        [instance("dog")],
        [instance("sky", "text")],
    ]
    write_jsonl(tmp_path / "layouts.jsonl", [{"query_id": f"q{n}", "instances": i} for n, i in enumerate(layouts)])
    return tmp_path


def run(inputs, models, name, *extra, **settings):
    command = ["masks", "--queries", str(inputs / "queries.jsonl"), "--layouts", str(inputs / "layouts.jsonl")]
    command += ["--references", str(inputs / "references.jsonl"), "--root", str(inputs)]
    command += ["--detector", str(models[0]), "--segmenter", str(models[1]), "--settings", json.dumps(settings)]
    assert main([*command, "--output", str(inputs / name), *extra]) == 0
    return read_jsonl(inputs / name)


def test_each_image_instance_gets_a_mask(inputs, models):
    records = run(inputs, models, "masks.jsonl", **FOUND)
    assert [[(m["instance"], m["category"]) for m in r.get("masks", ())] for r in records] == [
        [(0, "dog"), (2, "cat")], [(0, "Dog"), (1, "dog")], [(0, "dog")], [], [], []
    ]  # fmt: skip
    for record, width in [(records[0], 30), (records[1], 30), (records[2], 50)]:
        for entry in record["masks"]:
            assert entry["rle"]["size"] == [48, width]
            mask = decode_rle(entry["rle"])
            assert mask.shape == (48, width) and mask.any()
            x1, y1, x2, y2 = entry["box"]
            assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 and 0 < entry["score"] <= 1
    assert "2.png cannot be read" in records[3]["failure"]
    assert records[4]["masks"] == [] and records[5]["failure"] == "no layout"


def test_what_is_not_found_has_a_reason(inputs, models):
    records = run(inputs, models, "masks.jsonl", box_threshold=1.0)
    assert records[2]["masks"] == [
        {"instance": 0, "category": "dog", "reason": "no 'dog' found with a score of at least 1.0"}
    ]


def test_the_best_of_three_masks_is_the_one_that_sam_rates_highest(inputs, models):
    import torch
    from transformers import SamModel, SamProcessor

    [entry] = run(inputs, models, "masks.jsonl", **FOUND, best_of_three=True)[2]["masks"]
    image = PILImage.open(inputs / "1.png").convert("RGB")
    box = [[[c * s for c, s in zip(entry["box"], [50, 48, 50, 48], strict=True)]]]
    processor, sam = SamProcessor.from_pretrained(models[1]), SamModel.from_pretrained(models[1]).eval()
    given = processor(image, input_boxes=box, return_tensors="pt")
    with torch.inference_mode():
        output = sam(**given, multimask_output=True)
    sizes = given["original_sizes"], given["reshaped_input_sizes"]
    drawn = processor.image_processor.post_process_masks(output.pred_masks, *sizes)[0][0]
    assert len(drawn) == 3
    assert (decode_rle(entry["rle"]) == drawn[output.iou_scores[0, 0].argmax()].numpy()).all()
    single = run(inputs, models, "one.jsonl", **FOUND)[2]["masks"]
    assert single != [entry]


def test_each_image_and_category_is_segmented_once(inputs, models):
    asked = []

    def counted(image, category):
        asked.append((image.size, category))
        return {"reason": "counted"}

    images = {image.name: image for image in read_images(inputs / "references.jsonl")}
    layouts = {r["query_id"]: r for r in read_jsonl(inputs / "layouts.jsonl")}
    for _ in range(2):
        store = masks.Store(counted, inputs, images, Cache(inputs / "cache"), ["models"])
        for n, reference in enumerate(["r0", "r0", "r1"]):
            masks.query_masks(Query(f"q{n}", reference, ("x",)), layouts[f"q{n}"], store)
        assert asked == [((30, 48), "dog"), ((30, 48), "cat"), ((50, 48), "dog")]


def test_shards_give_the_same_bytes(inputs, models):
    run(inputs, models, "whole.jsonl", **FOUND)
    for count in (3, 8):
        for i in range(count):
            run(inputs, models, f"{i}.jsonl", "--shard", f"{i}/{count}", **FOUND)
        joined = b"".join((inputs / f"{i}.jsonl").read_bytes() for i in range(count))
        assert joined == (inputs / "whole.jsonl").read_bytes()


def test_masks_survive_the_encoding():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    rle = encode_rle(mask)
    assert rle["size"] == [5, 7] and json.loads(json.dumps(rle)) == rle
    assert (decode_rle(rle) == mask).all()


def test_released_masks_can_be_decoded(published):
    released = read_json(published / "CIRCO/released/val_reference_masks_rle.json")
    for rles in list(released.values())[:20]:
        for rle in rles:
            mask = decode_rle(rle)
            assert mask.shape == tuple(rle["size"]) and encode_rle(mask) == rle


def test_a_directory_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=str(tmp_path)):
        masks.segmenter(tmp_path, tmp_path, Masks())


def old_copy(kind, directory, target):
    """A copy as earlier releases wrote it: no processor_config.json, position ids and shared weights in the file."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(directory, target)
    (target / "processor_config.json").unlink()
    model = kind.from_pretrained(directory)
    values = {key: value.clone() for key, value in model.state_dict().items()}  # every shared weight for itself
    if kind.__name__ == "GroundingDinoForObjectDetection":
        values["model.text_backbone.embeddings.position_ids"] = torch.arange(512)[None]
    assert len(values) > len(load_file(directory / "model.safetensors"))
    save_file(values, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_copies_of_earlier_releases_give_the_same_masks(inputs, models, tmp_path):
    from transformers import GroundingDinoForObjectDetection, SamModel

    old = (
        old_copy(GroundingDinoForObjectDetection, models[0], tmp_path / "detector"),
        old_copy(SamModel, models[1], tmp_path / "segmenter"),
    )
    assert run(inputs, old, "old.jsonl", **FOUND) == run(inputs, models, "new.jsonl", **FOUND)


@pytest.mark.parametrize(("which", "what"), [(0, "Grounding DINO"), (1, "SAM")])
def test_missing_weights_are_an_error(models, tmp_path, which, what):
    from safetensors.torch import load_file, save_file

    part = list(models)
    part[which] = shutil.copytree(models[which], tmp_path / "part")
    values = load_file(part[which] / "model.safetensors")
    del values[min(key for key in values if key.endswith("weight"))]
    save_file(values, part[which] / "model.safetensors")
    with pytest.raises(ModelError, match=f"weights of a {what} model are not in it"):
        masks.segmenter(*part, Masks())
