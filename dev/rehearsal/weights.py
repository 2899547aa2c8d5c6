"""Random weights of any size, written without holding them: names and shapes come from a model on the meta device."""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch

NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
POOL = 1 << 24  # numbers that are drawn; every tensor is cut from them


class Noise:
    """Tensors that keep activations in range: normal matrices scaled by their inputs, norms of 1, biases of 0."""

    def __init__(self, seed: int = 0):
        self.pool = torch.randn(POOL, generator=torch.Generator().manual_seed(seed))
        self.offset = 0

    def fill(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Iterator[torch.Tensor]:
        """The flat values of one tensor, piece by piece."""
        count = math.prod(shape)
        while count:
            part = self.pool[self.offset : self.offset + count]
            if len(shape) < 2:
                part = torch.full_like(part, 1.0 if name.endswith("weight") else 0.0)
            else:
                part = part * (shape[0] / math.prod(shape)) ** 0.5
            self.offset = (self.offset + len(part)) % POOL
            count -= len(part)
            yield part.to(dtype)


def tensors(model: torch.nn.Module) -> dict[str, torch.Size]:
    """Shape of each tensor that a checkpoint of the model holds: tied ones once, buffers that are not saved not."""
    kept = {name for name, _ in itertools.chain(model.named_parameters(), model.named_buffers())}
    return {name: value.shape for name, value in model.state_dict().items() if name in kept}


def write(path: Path, shapes: dict[str, torch.Size], dtype: torch.dtype, noise: Noise) -> None:
    """One safetensors file: the length of the header, the header, the numbers."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            for part in noise.fill(name, shape, dtype):
                file.write(memoryview(part.view(torch.uint8).numpy()))


def write_model(
    directory: Path, model: torch.nn.Module, dtype: torch.dtype, noise: Noise, stem: str = "model", limit: float = 5e9
) -> None:
    """The weights in files of at most ``limit`` bytes, with an index where there are several, as on the hub."""
    shards: list[dict[str, torch.Size]] = [{}]
    size = 0
    for name, shape in tensors(model).items():
        wanted = math.prod(shape) * dtype.itemsize
        if size and size + wanted > limit:
            shards.append({})
            size = 0
        shards[-1][name] = shape
        size += wanted
    if len(shards) == 1:
        write(directory / f"{stem}.safetensors", shards[0], dtype, noise)
        return
    names = [f"{stem}-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for name, shapes in zip(names, shards, strict=True):
        write(directory / name, shapes, dtype, noise)
    total = sum(math.prod(shape) for shapes in shards for shape in shapes.values()) * dtype.itemsize
    places = {tensor: name for name, shapes in zip(names, shards, strict=True) for tensor in shapes}
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (directory / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=1))


def draw(shapes: dict[str, torch.Size], dtype: torch.dtype, noise: Noise) -> dict[str, torch.Tensor]:
    """Small checkpoints, for torch.save."""
    return {name: torch.cat(list(noise.fill(name, shape, dtype))).view(shape) for name, shape in shapes.items()}
