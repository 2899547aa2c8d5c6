"""One tower of a CLIP model at a time, in torch and in eight bits."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from ipcir_steps.config.vision import Embeddings
from ipcir_steps.core.errors import InputError, ModelError
from ipcir_steps.seek.baselines.inputs import same_encoder
from ipcir_steps.seek.embeddings.clip import load_encoder

TEXTS = ["a dog at night", "", "two cats"]


def numbers(encoder) -> int:
    return sum(value.numel() for value in encoder.model.parameters())


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("custom", [False, True], ids=["CLIP", "CustomTextCLIP"])
def test_one_tower_gives_the_same_bits_without_the_other(custom, clip_directory, tmp_path, pixels, caplog):
    directory = clip_directory
    if custom:  # the layout of newer models: the text tower under a name of its own
        import open_clip
        from safetensors.torch import save_file

        directory = shutil.copytree(clip_directory, tmp_path / "clip")
        config = json.loads((directory / "open_clip_config.json").read_text())
        config["model_cfg"]["custom_text"] = True
        (directory / "open_clip_config.json").write_text(json.dumps(config))
        torch.manual_seed(0)
        fresh = open_clip.create_model(f"local-dir:{directory}", load_weights=False)
        save_file(fresh.state_dict(), directory / "open_clip_model.safetensors")
    whole = load_encoder(directory)
    caplog.clear()
    image, text = (load_encoder(directory, towers=(tower,)) for tower in ("image", "text"))
    assert "random" not in caplog.text  # open_clip would warn of weights that it has not loaded itself
    assert torch.equal(image.pixels(pixels), whole.pixels(pixels))
    assert torch.equal(text.texts(TEXTS), whole.texts(TEXTS))
    assert image.identity == text.identity == whole.identity and image.dims == text.dims == whole.dims == 24
    visual = sum(value.numel() for value in whole.model.visual.parameters())
    assert numbers(image) < visual + 20_000 and numbers(text) < numbers(whole) - visual + 20_000
    from PIL import Image

    picture = Image.new("RGB", (50, 30), "red")
    assert torch.equal(text.transform(picture), whole.transform(picture))


def test_a_file_that_has_to_be_converted_is_loaded_whole(clip_directory, tmp_path, pixels):
    from safetensors.torch import load_file, save_file

    directory = shutil.copytree(clip_directory, tmp_path / "clip")
    state = load_file(directory / "open_clip_model.safetensors")
    wanted = load_encoder(directory).texts(TEXTS)
    state["visual.positional_embedding"] = torch.randn(17, 32)  # of larger pictures: open_clip interpolates
    save_file(state, directory / "open_clip_model.safetensors")
    image = load_encoder(directory, towers=("image",))
    assert torch.equal(image.pixels(pixels), load_encoder(directory).pixels(pixels))
    assert torch.equal(image.texts(TEXTS), wanted)


def test_weights_that_are_cut_short_are_refused(clip_directory, tmp_path):
    directory = shutil.copytree(clip_directory, tmp_path / "clip")
    path = directory / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    for towers in (("image",), ("text",), ("image", "text")):
        with pytest.raises(ModelError, match="cannot be loaded"):
            load_encoder(directory, towers=towers)


def test_loading_draws_nothing():
    from ipcir_steps.seek.embeddings.towers import Undrawn

    with Undrawn():
        assert torch.equal(torch.nn.init.normal_(torch.full((3,), 7.0)), torch.full((3,), 7.0))
        linear = torch.nn.Linear(4, 4)
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    with Undrawn():
        assert torch.nn.Linear(4, 4).weight.shape == linear.weight.shape
    assert torch.equal(torch.rand(1), wanted)


@pytest.fixture
def libraries(tmp_path, monkeypatch) -> Path:
    """The directory that exported towers are kept in."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason=f"{name} is not installed (pip install 'ipcir[vision]')")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/ipcir/int8"


def test_int8_is_close_and_never_mixed(clip_directory, libraries, pixels):
    settings, whole = Embeddings(encoder="int8"), load_encoder(clip_directory)
    small = load_encoder(clip_directory, settings)
    for found, wanted in ((small.pixels(pixels), whole.pixels(pixels)), (small.texts(TEXTS), whole.texts(TEXTS))):
        assert found.shape == wanted.shape and found.dtype == torch.float32
        assert torch.cosine_similarity(found, wanted).min() > 0.99 and not torch.equal(found, wanted)
    assert small.identity["encoder"] == "int8" and whole.identity["encoder"] == "torch"
    image = load_encoder(clip_directory, settings, ("image",))
    assert torch.equal(small.pixels(pixels[:2]), image.pixels(pixels[:2]))
    files = sorted(libraries.rglob("*.onnx"))
    assert [path.parent.name.split("-")[1] for path in files] == ["image", "text"]
    assert [path.name for path in files] == ["model.onnx"] * 2
    times = [path.stat().st_mtime_ns for path in files]
    load_encoder(clip_directory, settings)
    assert [path.stat().st_mtime_ns for path in files] == times  # exported once
    with pytest.raises(InputError, match="no pseudo-word"):
        same_encoder(small.identity)
    files[0].write_bytes(b"damaged")
    with pytest.raises(ModelError, match="made anew"):
        load_encoder(clip_directory, settings)


def test_a_feature_in_int8_depends_on_no_company(clip_directory, libraries, pixels):
    small = load_encoder(clip_directory, Embeddings(encoder="int8"))
    bright = torch.cat(
        [pixels[:1], 100 * pixels[1:]]
    )  # scaled by the largest number of a batch, the first would differ
    assert torch.equal(small.pixels(bright)[:1], small.pixels(pixels[:1]))
    assert torch.equal(small.texts(TEXTS)[1:2], small.texts(TEXTS[1:2]))


def test_a_tower_that_eight_bits_would_harm_stays_in_float32(clip_directory, libraries, tmp_path, pixels, caplog):
    from safetensors.torch import load_file, save_file

    directory = shutil.copytree(clip_directory, tmp_path / "clip")
    state = load_file(directory / "open_clip_model.safetensors")
    for name, value in state.items():  # one channel drowns the others, as happens in trained transformers
        if name.startswith("visual.") and name.endswith(("ln_1.weight", "ln_2.weight")):
            value[0] *= 3000
            projection = name.replace("ln_1.weight", "attn.in_proj_weight").replace("ln_2.weight", "mlp.c_fc.weight")
            state[projection][:, 0] /= 3000
    save_file(state, directory / "open_clip_model.safetensors")
    whole, small = load_encoder(directory), load_encoder(directory, Embeddings(encoder="int8"))
    assert "The image tower stays in float32" in caplog.text and "text tower stays" not in caplog.text
    torch.testing.assert_close(small.pixels(pixels), whole.pixels(pixels), atol=1e-5, rtol=1e-4)
    assert not torch.equal(small.texts(TEXTS), whole.texts(TEXTS))
    assert {path.name for path in libraries.rglob("*") if path.is_file()} == {"model.onnx"}


def test_int8_without_its_libraries_says_what_to_install(clip_directory, tmp_path, monkeypatch):
    import sys

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r"pip install 'ipcir\[vision\]'"):
        load_encoder(clip_directory, Embeddings(encoder="int8"))
