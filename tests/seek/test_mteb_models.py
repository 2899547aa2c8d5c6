"""Backbones that the package mteb reads: tiny models of real classes through its loaders, beside our own readers."""

import importlib.util
import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ipcir_steps.cli import main
from ipcir_steps.config.vision import Embeddings
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.features import load_features
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.seek.embeddings.clip import load_encoder
from ipcir_steps.seek.embeddings.guarded import guarded
from tests.hub import backbones
from tests.seek.test_dual import TEXTS, directory, pictures  # noqa: F401  (fixtures)

NAMES = {
    "clip": "openai/clip-vit-base-patch32",
    "siglip": "google/siglip-base-patch16-224",
    "siglip2": "google/siglip2-base-patch16-224",
}


@pytest.fixture
def copied(directory, tmp_path):  # noqa: F811
    """(directory, settings) of a model whose tokenizer knows its length, as published ones do."""
    path = tmp_path / "model"
    shutil.copytree(directory, path)
    words = json.loads((path / "tokenizer_config.json").read_text())
    words |= {"model_max_length": 12, "model_input_names": ["input_ids"]}
    (path / "tokenizer_config.json").write_text(json.dumps(words))
    kind = json.loads((path / "config.json").read_text())["model_type"]
    if kind == "siglip2":
        pytest.skip("for mteb SigLIP 2 is siglip, of a fixed size")
    return path, Embeddings(architecture=f"mteb:{NAMES[kind]}")


def load(*arguments):
    pytest.importorskip("mteb", reason="mteb is not installed (pip install 'ipcir[mteb]')")
    return load_encoder(*arguments)


def unit(values):
    return torch.nn.functional.normalize(values, dim=1)


def test_features_are_those_of_our_own_reader(copied, pictures):  # noqa: F811
    """Also of an image and a text together: for two towers mteb takes the sum of both features as they are."""
    path, settings = copied
    ours, theirs = load_encoder(path), load(path, settings)
    seen = ours.images([ours.transform(picture) for picture in pictures])
    prepared = [theirs.transform(picture) for picture in pictures]
    found = (theirs.images(prepared), theirs.texts(TEXTS), theirs.joint(prepared, TEXTS))
    wanted = (unit(seen), unit(ours.texts(TEXTS)), unit(seen + ours.texts(TEXTS)))
    for mine, other in zip(wanted, found, strict=True):
        assert other.dtype == torch.float32 and other.shape == (3, theirs.dims) == (3, ours.dims)
        assert (mine - other).abs().max() < 1e-6 and torch.pdist(other).min() > 1e-3, "every input counts"
    assert theirs.identity["architecture"] == settings.architecture and "mteb" in theirs.identity
    assert theirs.identity["digest"] == ours.identity["digest"] and theirs.identity["dtype"] == "float32"


def test_a_backbone_of_the_workflow(copied, pictures, tmp_path):  # noqa: F811
    """Gallery, references and the baseline that reads both together, by the commands of the rules."""
    path, settings = copied
    encoder = load(path, settings)
    listed = [Image(f"i{n}", f"{n}.png", *picture.size) for n, picture in enumerate(pictures)]
    for picture, record in zip(pictures, listed, strict=True):
        picture.save(tmp_path / record.path)
    write_records(tmp_path / "images.jsonl", listed)
    write_records(tmp_path / "queries.jsonl", [Query("q0", "i0", ("a red dog",)), Query("q1", "i1", ("a cat",))])
    seen = ["--images", str(tmp_path / "images.jsonl"), "--root", str(tmp_path), "--model", str(path)]
    asked, made = ["--queries", str(tmp_path / "queries.jsonl")], str(tmp_path / "references.safetensors")
    how = ["--settings", json.dumps({"architecture": settings.architecture})]
    assert main(["embeddings", "images", *seen, *asked, *how, "--output", made]) == 0
    command = ["baselines", "joint", *seen, *asked, "--benchmark", "circo", "--architecture", settings.architecture]
    assert main([*command, "--references", made, "--output", str(tmp_path / "joint.safetensors")]) == 0
    found = load_features(tmp_path / "joint.safetensors").values[0]
    [wanted] = encoder.joint([encoder.read(tmp_path / "0.png")], ["a red dog"])
    assert abs(found - wanted.numpy()).max() < 1e-6
    assert load_features(made).model["mteb"] == encoder.identity["mteb"]


def test_what_a_model_cannot_do_is_said(copied):
    path, settings = copied
    with pytest.raises(ModelError, match="pseudo-words"):
        _ = load(path, settings).token_embedding
    for wrong in ({"encoder": "int8"}, {"preprocessing": "target_pad"}):
        with pytest.raises(ModelError, match="takes neither encoder int8 nor"):
            load(path, settings.model_copy(update=wrong))
    with pytest.raises(ModelError, match="is a directory"):
        load(path / "model.safetensors", settings)


def test_no_weight_is_left_to_chance_or_unpickled(copied):
    path, settings = copied
    weights = load_file(path / "model.safetensors")
    cut = {key: value for key, value in weights.items() if "text_model.encoder.layers.0.mlp.fc1" not in key}
    save_file(cut, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="2 of the weights that mteb's loader of .* wants are not in it"):
        load(path, settings)
    (path / "model.safetensors").unlink()
    torch.save(weights, path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="could not read it .*safetensors"):
        load(path, settings)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("openai/clip-vit-base-patch3", "knows no model .* Did you mean: 'openai/clip-vit-base-patch32'"),
        ("sentence-transformers/all-MiniLM-L6-v2", "it encodes text"),
        ("BAAI/BGE-VL-base", "runs code of the model's own. Leave `architecture` out"),
        ("mongodb/voyage-multimodal-3", "is a service on the network"),
        ("vidore/colpali-v1.1", "gives no single vector"),
    ],
)
def test_models_that_are_not_read_are_refused_by_their_description(name, reason, tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match=reason):
        load(tmp_path, Embeddings(architecture=f"mteb:{name}"))


def test_how_states_are_pooled_is_not_guessed(tmp_path):
    """By sentence-transformers, which takes the mean of all tokens where a directory does not say it."""
    pytest.importorskip("qwen_vl_utils", reason="pip install 'mteb[multimodal-sbert,video]'")
    path = backbones.reader("qwen3_vl", tmp_path)
    with pytest.raises(ModelError, match="holds no modules.json, which tells mteb's loader of .* pooled"):
        load(path, Embeddings(architecture="mteb:Qwen/Qwen3-VL-Embedding-2B"))


@pytest.mark.skipif(importlib.util.find_spec("mteb") is not None, reason="mteb is installed")
def test_without_the_package_it_is_named(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match=r"needs the package mteb: pip install 'ipcir\[mteb\]'"):
        load_encoder(tmp_path, Embeddings(architecture="mteb:openai/clip-vit-base-patch32"))


def test_code_beside_a_model_never_runs(tmp_path):
    """Though the loader asks transformers to run it; afterwards transformers is as it was."""
    import transformers as hf

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "odd", "auto_map": {"AutoConfig": "odd.Odd"}}))
    code = (
        "from transformers import PreTrainedConfig\nopen({!r}, 'w')\nclass Odd(PreTrainedConfig): model_type = 'odd'\n"
    )
    (tmp_path / "odd.py").write_text(code.format(str(tmp_path / "ran")))
    before = dict(os.environ), hf.PreTrainedModel.from_pretrained.__func__
    refused = pytest.raises(ModelError, match="a loader runs code of the model's own, .* Take another.")
    with refused, guarded("a loader", "Take another."):
        hf.AutoConfig.from_pretrained(tmp_path, trust_remote_code=True)
    assert not (tmp_path / "ran").exists()
    assert (dict(os.environ), hf.PreTrainedModel.from_pretrained.__func__) == before
    hf.AutoConfig.from_pretrained(tmp_path, trust_remote_code=True)  # the three lines above, to show that they can run
    assert (tmp_path / "ran").exists(), "it would have run"
