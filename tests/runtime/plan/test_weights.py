"""Sizes come from the files that are there, whatever was published."""

import json

import pytest
import torch
from safetensors.torch import save_file

from ipcir_steps.core.files import write_json
from ipcir_steps.runtime.plan.weights import weights

SAM = "facebook/sam-vit-huge"


@pytest.fixture
def model(tmp_path):
    """A directory with two safetensors files in half precision, and something that no loader reads."""
    directory = tmp_path / "model"
    directory.mkdir()
    for number in (1, 2):
        save_file({"a": torch.zeros(100, number).half(), "b": torch.zeros(3)}, directory / f"{number}.safetensors")
    (directory / "README.md").write_text("x" * 5000)
    return directory


def test_a_directory(model):
    found = weights("segmenter", str(model))
    assert (found.numbers, found.dtype, found.how) == (306, "float16", "files on disk")
    assert found.stored == sum(path.stat().st_size for path in model.glob("*.safetensors"))
    assert found.loaded("float32") == 4 * 306


def test_only_the_files_of_the_manifest_count(model, tmp_path):
    manifest = tmp_path / "segmenter.json"
    entry = {"name": "segmenter", "source": SAM, "revision": "1", "path": str(model), "files": {"1.safetensors": "x"}}
    write_json(manifest, entry)
    assert weights("segmenter", SAM, manifest).numbers == 103
    assert weights("segmenter", SAM, tmp_path / "absent.json").how == "published size"
    manifest.write_text("{}")
    assert weights("segmenter", SAM, manifest).how == "published size"


def test_quantised_weights_stay_as_they_are(model):
    (model / "config.json").write_text(json.dumps({"quantization_config": {"bits": 4}}))
    found = weights("llm", str(model))
    assert found.loaded("float32") == found.loaded("float16") == found.stored


def test_a_pickled_file_and_an_unknown_model(tmp_path):
    (tmp_path / "m.ckpt").write_bytes(b"x" * 400)
    assert weights("migc", str(tmp_path / "m.ckpt")).numbers == 100
    assert weights("captioner", "someone/unheard-of") is None
