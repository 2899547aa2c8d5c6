"""The latent space: an autoencoder of pictures, and the latents of all training pictures."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ipcir_steps.core.files import atomic
from ipcir_steps.core.progress import Progress
from mini_world.diffusion import LATENT_SIZE, autoencoder
from mini_world.training.loop import Recipe, train
from mini_world.training.pool import HELD_OUT

STEPS = 1800
BATCH = 8  # small, for many steps in the time
DIVERGENCE = 1e-4  # weight of the KL divergence to a standard normal, mean over the latent's elements


def recipe(images: np.ndarray, steps: int = STEPS) -> Recipe:
    """images: uint8 [pairs, 2, 64, 64, 3]; the held-out pairs are left out."""
    model = autoencoder()
    nn.init.constant_(model.quant_conv.bias[4:], -5)  # little noise at first, or colours are long lost in it
    count = len(images) - HELD_OUT

    def loss(generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(count * 2, (BATCH,), generator=generator).tolist()
        pixels = pixels_of(np.stack([images[row // 2, row % 2] for row in rows]))
        posterior = model.encode(pixels).latent_dist
        drawn = model.decode(posterior.sample()).sample
        error = F.l1_loss(drawn, pixels)
        edges = sum(F.l1_loss(drawn.diff(dim=d), pixels.diff(dim=d)) for d in (2, 3))
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        figures = {"error": error.item(), "edges": edges.item(), "divergence": divergence.item()}
        return error + edges + 2 * F.mse_loss(drawn, pixels) + DIVERGENCE * divergence, figures

    return Recipe("sd_vae", model, loss, steps, 2e-3, warmup=100, average=0.995)


def run(directory: Path, seed: int, images: np.ndarray) -> dict[str, Tensor]:
    """Weights of the trained autoencoder."""
    torch.manual_seed(seed)
    return train(recipe(images), directory, seed)


def pixels_of(images: np.ndarray) -> Tensor:
    """uint8 [B, 64, 64, 3] to [-1, 1] [B, 3, 64, 64]"""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def latents(model: nn.Module, images: np.ndarray, path: Path) -> np.ndarray:
    """Means of the latents, float16 [n, 4, 16, 16], unscaled; computed once, then read from ``path``.

    images: uint8 [n, 64, 64, 3].
    """
    if not path.is_file():
        model = model.eval()
        result = np.empty((len(images), 4, LATENT_SIZE, LATENT_SIZE), np.float16)
        with Progress("encoding pictures", total=len(images)) as progress:
            for start in range(0, len(images), 64):
                part = images[start : start + 64]
                result[start : start + 64] = model.encode(pixels_of(part)).latent_dist.mean.numpy()
                progress.advance(len(part))
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.save(file, result)
    return np.load(path)


def scale_of(latents: np.ndarray) -> float:
    """1 / standard deviation of latents, as the weights file keeps it (float16)."""
    return float(np.float16(1 / np.asarray(latents[:4000], np.float32).std()))
