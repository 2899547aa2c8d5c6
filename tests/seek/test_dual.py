"""Backbones in transformers' layout: tiny models of the real classes, with their own processors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from ipcir_steps.config.vision import Embeddings
from ipcir_steps.core.errors import ModelError
from ipcir_steps.seek.embeddings.clip import load_encoder
from ipcir_steps.seek.embeddings.transform import CLIP_MEAN, CLIP_STD, target_pad_transform
from tests.hub import backbones

TEXTS = ["a red dog", "the cat is on the dog", "a " * 40]


@pytest.fixture(scope="session", params=["clip", "siglip", "siglip2"])
def directory(request, tmp_path_factory) -> Path:
    """A model as the hub holds it: config.json, model.safetensors, and what its processor needs."""
    path = tmp_path_factory.mktemp(request.param)
    backbones.two_towers(request.param, path)
    return path


@pytest.fixture
def pictures() -> list:
    draw = np.random.default_rng(0)
    shapes = [(40, 30, 3), (30, 70, 3), (32, 32)]
    return [Picture.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes]


def test_features_are_those_of_the_model_and_its_processor(directory, pictures):
    import transformers as hf

    encoder = load_encoder(directory)
    model, processor = hf.AutoModel.from_pretrained(directory).eval(), hf.AutoProcessor.from_pretrained(directory)
    pixels = torch.stack([encoder.transform(picture) for picture in pictures])
    asked = processor(
        text=TEXTS, images=[picture.convert("RGB") for picture in pictures], return_tensors="pt",
        padding="max_length", truncation=True, max_length=12,
    )  # fmt: skip
    with torch.no_grad():
        del asked["attention_mask"]
        found = model(**asked)
    for ours, theirs in ((encoder.texts(TEXTS), found.text_embeds), (encoder.pixels(pixels), found.image_embeds)):
        assert ours.dtype == torch.float32 and ours.shape[1] == encoder.dims
        assert torch.allclose(torch.nn.functional.normalize(ours, dim=1), theirs, atol=1e-5)
    assert encoder.identity["preprocessing"] == "processor" and "ratio" not in encoder.identity
    # A text does not depend on its neighbours in the batch.
    assert torch.allclose(encoder.texts(TEXTS)[:1], encoder.texts(TEXTS[:1]), atol=1e-6)


def test_one_tower_is_loaded_alone_and_gives_the_same_bytes(directory, pictures):
    whole, image, text = (
        load_encoder(directory),
        *(load_encoder(directory, None, (name,)) for name in ("image", "text")),
    )
    pixels = [whole.transform(picture) for picture in pictures]
    assert torch.equal(image.images(pixels), whole.images(pixels)) and torch.equal(
        text.texts(TEXTS), whole.texts(TEXTS)
    )
    assert image.identity == text.identity == whole.identity and image.dims == text.dims == whole.dims
    weights = [sum(values.numel() for values in each.model.parameters()) for each in (image, text, whole)]
    assert weights[0] + weights[1] == weights[2]


def test_what_it_cannot_do_is_said(directory, tmp_path):
    with pytest.raises(ModelError, match="pseudo-words need a model in open_clip's layout"):
        _ = load_encoder(directory).token_embedding
    with pytest.raises(ModelError, match="int8"):
        load_encoder(directory, Embeddings(encoder="int8"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="type 'bert'"):
        load_encoder(tmp_path)


def test_target_pad_is_a_setting(directory, pictures):
    """With the model's own size and statistics; for models in open_clip's layout the other way round."""
    settings = Embeddings(preprocessing="target_pad", ratio=1.5)
    if "siglip2" in directory.name:
        with pytest.raises(ModelError, match="preprocessing: model"):
            load_encoder(directory, settings)
        return
    encoder = load_encoder(directory, settings)
    images = encoder.transform(pictures[1])
    mean, std = ([0.5] * 3, [0.5] * 3) if "siglip" in directory.name else (CLIP_MEAN, CLIP_STD)
    assert torch.equal(images, target_pad_transform(32, 1.5, mean, std)(pictures[1]))
    assert not torch.allclose(images, load_encoder(directory).transform(pictures[1]), atol=0.1)
    assert encoder.identity["preprocessing"] == "target_pad" and encoder.identity["ratio"] == 1.5


def test_open_clip_by_its_own_files(clip_directory, pictures):
    own, padded = load_encoder(clip_directory, Embeddings(preprocessing="model")), load_encoder(clip_directory)
    assert own.identity["preprocessing"] == "model" and "ratio" not in own.identity
    assert "preprocessing" not in padded.identity, "as it always was"
    wide, square = pictures[1], pictures[1].resize((40, 40))
    assert not torch.allclose(own.transform(wide), padded.transform(wide), atol=0.1)
    assert torch.allclose(own.transform(square), padded.transform(square), atol=1e-5)


def test_missing_weights_are_refused(directory, tmp_path):
    from safetensors.torch import load_file, save_file

    for file in directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["text_model.encoder.layers.0.mlp.fc1.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="weights of a dual encoder are not in it"):
        load_encoder(tmp_path)
