"""ELITE (csyxwei/ELITE): reference images as words. Mappers, injection at the placeholder, local attention."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

from ipcir_steps.core.checkpoints import read_checkpoint
from ipcir_steps.core.errors import ModelError, StepFailure
from ipcir_steps.imagine.proxies.checkpoints import check_fit
from ipcir_steps.imagine.proxies.processors import MIGCProcessor

LAYERS = (4, 8, 12, 16)  # hidden states read besides the last one
PLACEHOLDER = "*</w>"
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Mapper(nn.Module):
    """Five pairs of MLPs, for the class token and for the patches of five hidden states."""

    def __init__(self, input_dim: int = 1024, output_dim: int = 768, width: int = 1024):
        super().__init__()

        def mlp():
            layers = [nn.Linear(input_dim, width), nn.LayerNorm(width), nn.LeakyReLU()]
            layers += [nn.Linear(width, width), nn.LayerNorm(width), nn.LeakyReLU()]
            return nn.Sequential(*layers, nn.Linear(width, output_dim))

        for i in range(5):
            setattr(self, f"mapping_{i}", mlp())
            setattr(self, f"mapping_patch_{i}", mlp())

    def pairs(self, states: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Class part [B, 1, out] and patch part [B, patches, out] of each hidden state [B, 1 + patches, in]."""
        for i, state in enumerate(states):
            yield getattr(self, f"mapping_{i}")(state[:, :1]), getattr(self, f"mapping_patch_{i}")(state[:, 1:])


class GlobalMapper(Mapper):
    """Five words per image [B, 5, out]; only the first is injected."""

    def forward(self, states: list[Tensor]) -> Tensor:
        return torch.cat([word + patches.mean(1, keepdim=True) for word, patches in self.pairs(states)], dim=1)


class LocalMapper(Mapper):
    """One feature per patch [B, patches, out], to be multiplied by the instance's mask."""

    def forward(self, states: list[Tensor]) -> Tensor:
        return torch.stack([word + patches for word, patches in self.pairs(states)]).mean(0)


@dataclasses.dataclass
class Elite:
    """Both mappers and the CLIP vision model they read. References are resized to its input, as published."""

    words: GlobalMapper
    patches: LocalMapper
    vision: nn.Module

    @torch.no_grad()
    def encode(self, image: Image.Image, mask: np.ndarray | None) -> tuple[Tensor, Tensor]:
        """The word [out] of a whole RGB image and the local features [patches, out] of its masked part.

        mask: [height, width] of the image, non-zero on the instance; None takes the whole image.
        Raises StepFailure when the mask is of another size.
        """
        pixels = np.asarray(image)
        mask = np.ones(pixels.shape[:2], np.uint8) if mask is None else (mask > 0).astype(np.uint8)
        if mask.shape != pixels.shape[:2]:
            raise StepFailure(f"the mask is {mask.shape[::-1]}, its reference image {image.size}")
        word = self.words(self.states(image))[0, 0]
        local = self.patches(self.states(Image.fromarray(pixels * mask[..., None])))[0]
        side = round(len(local) ** 0.5)
        small = nn.functional.interpolate(torch.from_numpy(mask)[None, None].float(), size=(side, side))
        return word, local * small.to(local).flatten()[:, None]

    def states(self, image: Image.Image) -> list[Tensor]:
        """Hidden states [1, 1 + patches, width]: the last, then LAYERS."""
        side, weight = self.vision.config.image_size, next(self.vision.parameters())
        pixels = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), np.float32) / 255
        pixels = (pixels - np.float32(CLIP_MEAN)) / np.float32(CLIP_STD)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(weight)
        output = self.vision(tensor, output_hidden_states=True)
        return [output.last_hidden_state, *(output.hidden_states[layer] for layer in LAYERS)]


def load_elite(unet: UNet2DConditionModel, global_mapper: str | Path, local_mapper: str | Path, vision) -> Elite:
    """Read the published mapper files; their K and V projections go to the processors of the U-Net.

    The U-Net must have its MIGC processors (``load_migc`` or ``install``). vision: CLIPVisionModel (ViT-L/14).
    Raises ModelError listing the keys that do not fit.
    """
    layers = {
        name.removesuffix(".processor").replace(".", "_"): unet.get_submodule(name.removesuffix(".processor"))
        for name, processor in unet.attn_processors.items()
        if isinstance(processor, MIGCProcessor)
    }
    if vision.config.num_hidden_layers < max(LAYERS):
        raise ModelError(f"ELITE reads hidden state {max(LAYERS)}; the vision model has fewer layers.")
    mappers = []
    for path, kind, role in ((global_mapper, GlobalMapper, "elite_global"), (local_mapper, LocalMapper, "elite_local")):
        tensors = read_checkpoint(path)
        mapper = build(kind, tensors, layers, path)
        first = next(iter(layers.values())).to_q.weight
        mapper = mapper.to(device=first.device, dtype=first.dtype).eval()
        for name, attention in layers.items():
            pair = {part: mapper._modules.pop(f"{name}_{part}") for part in ("to_k", "to_v")}
            setattr(attention.processor, role, nn.ModuleDict(pair))
        mappers.append(mapper)
    return Elite(*mappers, vision)


def build(kind: type[Mapper], tensors: dict, layers: dict[str, nn.Module], path) -> Mapper:
    try:
        first, last = tensors["mapping_0.0.weight"], tensors["mapping_0.6.weight"]
    except KeyError as error:
        raise ModelError(f"{path}: missing {error}; this is not an ELITE mapper.") from None
    mapper = kind(first.shape[1], last.shape[0], first.shape[0])
    for name, attention in layers.items():
        shape = attention.to_k.in_features, attention.to_k.out_features
        for part in ("to_k", "to_v"):
            mapper.add_module(f"{name}_{part}", nn.Linear(*shape, bias=False))
    check_fit(mapper, tensors, str(path), "Is the base model Stable Diffusion 1.x?")
    mapper.load_state_dict(tensors)
    return mapper


@contextlib.contextmanager
def injected(text_encoder, positions: list[tuple[int, int]], words: list[Tensor]):
    """While active, the token embedding at each (row, position) is replaced by a word [width]."""

    def replace(module, inputs, output):
        output = output.clone()
        for (row, position), word in zip(positions, words, strict=True):
            output[row, position] = word.to(output)
        return output

    handle = text_encoder.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
