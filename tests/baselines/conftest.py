"""A tiny real CLIP model in open_clip's own directory layout."""

import json
import zlib

import numpy as np
import pytest
import torch

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
CONFIG = {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT}


def save_tiny_clip(directory, seed=0):
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    model = CLIP(**CONFIG)
    directory.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1]}
    config = {"model_cfg": CONFIG, "preprocess_cfg": preprocess}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, directory / "open_clip_model.safetensors")
    return model.eval()


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """(model directory, the model that was saved there)"""
    directory = tmp_path_factory.mktemp("models") / "tiny"
    return directory, save_tiny_clip(directory)


@pytest.fixture(scope="session")
def encoder(tiny_clip):
    from ipcir_steps.embeddings.clip import load_encoder

    return load_encoder(tiny_clip[0])


def numbers(name, shape, scale=1.0):
    """Reproducible random float32 numbers, the same on every machine: they stand for published weights and inputs."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    return torch.from_numpy((generator.standard_normal(shape) * scale).astype(np.float32))


def fill(module, name):
    """Fill every parameter of a module with ``numbers``, by its key."""
    state = {key: numbers(f"{name}.{key}", tuple(value.shape), 0.2) for key, value in module.state_dict().items()}
    module.load_state_dict(state)
    return module.eval()


def picture(size, mode="RGB"):
    """A reproducible noise image with some structure."""
    from PIL import Image

    width, height = size
    noise = np.random.RandomState(width * 1000 + height).randint(0, 256, (height, width, 3)).astype(np.uint8)
    noise[: height // 2] //= 2
    return Image.fromarray(noise).convert(mode)
