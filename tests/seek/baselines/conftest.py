"""Reproducible numbers that stand for published weights and inputs."""

import zlib

import numpy as np
import torch


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
