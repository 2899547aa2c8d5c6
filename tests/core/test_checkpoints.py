"""The one reader of checkpoints, on files saved as the published training scripts save them, and on hostile ones."""

import argparse
import collections
import datetime
import functools
import pathlib
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ipcir_steps.core.checkpoints import read_checkpoint, weights_file
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import describe


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.GELU(), torch.nn.Linear(3, 2))


def trained():
    """(network, optimizer whose learning rate a cosine schedule made a numpy scalar, gradient scaler)."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    for group in optimizer.param_groups:
        group["lr"] = 0.5 * (1 + np.cos(np.pi * 3 / 10)) * 1e-4
    return model, optimizer, torch.amp.GradScaler("cpu")


def searle(model, optimizer, scaler):
    """train_phi.py of SEARLE: save_checkpoint."""
    return {
        "epoch": 20, "Phi": model.state_dict(), "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(), "training_path": pathlib.Path("/data/phi_models/searle"),
    }  # fmt: skip


def lincir(model, optimizer, scaler):
    """train_phi.py of LinCIR: the step is counted as numpy counts where it is resumed."""
    return {"epoch": np.int64(20000), "Phi": model.state_dict()}


def pic2word(model, optimizer, scaler):
    """main.py of Pic2Word, from several GPUs: CLIP itself, the network and the optimizer."""
    several = {f"module.{key}": value for key, value in model.state_dict().items()}
    return {
        "epoch": 30, "name": "cc_pretrained", "state_dict": {"module.logit_scale": torch.ones(())},
        "state_dict_img2text": several, "optimizer": optimizer.state_dict(),
    }  # fmt: skip


def options(model, optimizer, scaler):
    """Scripts that save their options and best scores with the weights."""
    return {
        "state_dict": model.state_dict(), "args": argparse.Namespace(lr=1e-4, path=pathlib.Path("x")),
        "best": np.float32(0.7), "history": np.arange(3.0), "done": np.bool_(True), "random": np.random.get_state(),
        "random_of_torch": torch.get_rng_state(), "seen": {1, 2}, "dtype": torch.float16,
    }  # fmt: skip


WRAPPERS = ("Phi", "state_dict_img2text", "state_dict")
PRECISIONS = [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("save", [searle, lincir, pic2word, options])
def test_what_training_scripts_save(tmp_path, save, dtype, zipped):
    model, optimizer, scaler = trained()
    expected = {key: value.to(dtype) for key, value in model.state_dict().items()}
    model.to(dtype)
    torch.save(save(model, optimizer, scaler), tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "x.pt", WRAPPERS)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == dtype and torch.equal(found[key], value)


def test_bare_tensors_and_a_counter_beside_them(tmp_path):
    state = network().state_dict()
    for name, values in {"bare.pt": state, "counted.pt": {"epoch": 3, **state}}.items():
        torch.save(values, tmp_path / name)
        assert read_checkpoint(tmp_path / name).keys() == state.keys()
    save_file(state, tmp_path / "x.safetensors")
    assert torch.equal(read_checkpoint(tmp_path / "x.safetensors")["0.bias"], state["0.bias"])


def test_files_of_numpy_1_are_read(tmp_path):
    """numpy 2 moved numpy.core to numpy._core, and a file names the place."""
    torch.save({"best": np.float64(0.5), "w": torch.ones(2)}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "x.pt").read_bytes()
    assert b"numpy._core.multiarray" in content
    (tmp_path / "x.pt").write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read_checkpoint(tmp_path / "x.pt").keys() == {"w"}


@pytest.mark.parametrize("package", ["pytorch_lightning", "lightning.pytorch"])
def test_lightning_files_are_read_without_lightning(tmp_path, monkeypatch, package):
    """Latent-diffusion code trains with it; the file names its classes, which are not installed here."""

    class AttributeDict(dict):
        pass

    class ModelCheckpoint:
        def __init__(self):
            self.best_k_models = {"a.ckpt": torch.tensor(0.5)}

    for kind, module in ((AttributeDict, "utilities.parsing"), (ModelCheckpoint, "callbacks.model_checkpoint")):
        kind.__module__, kind.__qualname__ = f"{package}.{module}", kind.__name__
        parts = kind.__module__.split(".")
        for depth in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), types.ModuleType(parts[depth - 1]))
        setattr(sys.modules[kind.__module__], kind.__name__, kind)
    values = {
        "epoch": 9, "global_step": 100, "pytorch-lightning_version": "1.4.2", "state_dict": network().state_dict(),
        "callbacks": {ModelCheckpoint: {"best_model_score": torch.tensor(0.1)}, "one": ModelCheckpoint()},
        "hyper_parameters": AttributeDict(lr=0.1, name="migc"), "lr_schedulers": [{"last_epoch": 3}],
    }  # fmt: skip
    torch.save(values, tmp_path / "x.ckpt")
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "x.ckpt").keys() == network().state_dict().keys()


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("the pickle was executed",)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Bomb(), "_pytest.outcomes"),
        (network(), "torch.nn.modules.container.Sequential"),
        (print, "print"),
        (functools.partial(print, 1), "functools.partial"),
        (datetime.datetime(2025, 1, 1), "datetime.datetime"),
        (argparse.Namespace(logger=Bomb()), "_pytest.outcomes"),
        (collections.defaultdict(print), "collections.defaultdict"),
        (np.array([print], dtype=object), "ObjectDType"),
    ],
    ids=["code", "whole network", "function", "partial", "date", "code in options", "factory", "code in an array"],
)
def test_anything_else_is_refused_by_name_and_not_run(tmp_path, value, named):
    torch.save({"state_dict": network().state_dict(), "more": value}, tmp_path / "x.pt")
    with pytest.raises(
        ModelError, match=rf"x\.pt holds an object that could run code \(.*{named}.*save its state dict again"
    ):
        read_checkpoint(tmp_path / "x.pt")


def test_missing_damaged_and_empty_files(tmp_path):
    torch.save(network().state_dict(), tmp_path / "x.pt")
    save_file(network().state_dict(), tmp_path / "x.safetensors")
    for name in ("x.pt", "x.safetensors"):
        (tmp_path / f"half-{name}").write_bytes((tmp_path / name).read_bytes()[:150])
        with pytest.raises(ModelError, match=rf"half-{name} is damaged"):
            read_checkpoint(tmp_path / f"half-{name}")
        with pytest.raises(ModelError, match="does not exist"):
            read_checkpoint(tmp_path / f"no-{name}")
    for values, what in (([1, 2], "list"), ({"epoch": 1}, "dict"), ({"state_dict": torch.ones(1)}, "Tensor")):
        torch.save(values, tmp_path / "x.pt")
        with pytest.raises(ModelError, match=f"x.pt holds {what}, not named tensors"):
            read_checkpoint(tmp_path / "x.pt")


def test_the_one_weights_file_of_a_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    save_file(network().state_dict(), tmp_path / "x.safetensors")
    assert weights_file(describe("m", "m", tmp_path)) == tmp_path / "x.safetensors"
    assert weights_file(describe("m", "m", tmp_path / "x.safetensors")) == tmp_path / "x.safetensors"
    torch.save(network().state_dict(), tmp_path / "y.pt")
    with pytest.raises(ModelError, match=r"model 'm': .* holds 2 weights files, not one: name the file itself"):
        weights_file(describe("m", "m", tmp_path))
