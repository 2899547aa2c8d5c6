"""What is fetched of a repository that a loader of the package mteb reads."""

import pytest

from ipcir_steps.core.errors import ModelError
from ipcir_steps.runtime.model_files import Repository, wanted


def names(files: list[str]) -> list[str]:
    return wanted(Repository("owner/name", files, lambda name: {}), "mteb", False)


def test_configurations_vocabularies_and_safetensors():
    files = ["config.json", "modules.json", "1_Pooling/config.json", "model.safetensors", "merges.txt", "README.md"]
    others = ["model.py", "pytorch_model.bin", "onnx/config.json", "onnx/model.safetensors", ".gitattributes"]
    assert names(files + others) == sorted(set(files) - {"README.md"})
    with pytest.raises(ModelError, match="holds no safetensors"):
        names(["config.json", "pytorch_model.bin"])
