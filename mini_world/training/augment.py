"""What happens to pictures before a trained model sees them: small shifts, blur, noise, colour casts, JPEG."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, pad


def augment(images: np.ndarray, generator: torch.Generator, share: float = 0.5, shift: int = 2) -> Tensor:
    """uint8 [n, H, W, 3] → float32 [n, 3, H, W] in 0..1: all shifted by up to ``shift`` pixels, a share made worse.

    The worse ones stand for what a diffusion model draws: blurred, noisy, slightly off in colour.
    """
    images = images.copy()
    count = len(images)
    worse = torch.rand(count, generator=generator) < share
    chance = torch.rand(count, 4, generator=generator)
    quality = torch.randint(30, 85, (count,), generator=generator).tolist()
    for i in torch.where(worse & (chance[:, 0] < 0.25))[0].tolist():
        images[i] = _jpeg(images[i], quality[i])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    if shift:
        pixels = _shifted(pixels, torch.randint(0, 2 * shift + 1, (count, 2), generator=generator).tolist(), shift)
    rows = torch.where(worse & (chance[:, 1] < 0.65))[0]
    if len(rows):
        pixels[rows] = blurred(pixels[rows], 0.3 + 1.3 * torch.rand(len(rows), generator=generator))
    rows = torch.where(worse & (chance[:, 2] < 0.65))[0]
    gains = 1 + 0.07 * torch.randn(len(rows), 3, 1, 1, generator=generator).clamp(-2, 2)
    casts = 0.03 * torch.randn(len(rows), 3, 1, 1, generator=generator).clamp(-2, 2)
    pixels[rows] = pixels[rows] * gains + casts
    rows = torch.where(worse & (chance[:, 3] < 0.5))[0]
    strength = 0.06 * torch.rand(len(rows), 1, 1, 1, generator=generator)
    pixels[rows] += strength * torch.randn(len(rows), *pixels.shape[1:], generator=generator)
    return pixels.clamp(0, 1)


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _shifted(pixels: Tensor, offsets: list[list[int]], most: int) -> Tensor:
    height, width = pixels.shape[-2:]
    wide = pad(pixels, (most,) * 4, mode="replicate")
    return torch.stack([w[:, y : y + height, x : x + width] for w, (y, x) in zip(wide, offsets, strict=True)])


def blurred(pixels: Tensor, sigmas: Tensor) -> Tensor:
    """Gaussian blur of [n, 3, H, W] with one sigma [n], in pixels, per image."""
    n, channels, height, width = pixels.shape
    reach = torch.arange(-4, 5)
    kernels = torch.exp(-(reach**2) / (2 * sigmas[:, None] ** 2))
    kernels = (kernels / kernels.sum(-1, keepdim=True)).repeat_interleave(channels, 0)
    flat = pad(pixels.reshape(1, n * channels, height, width), (4, 4, 4, 4), mode="replicate")
    flat = conv2d(flat, kernels[:, None, :, None], groups=n * channels)
    return conv2d(flat, kernels[:, None, None, :], groups=n * channels).reshape(n, channels, height, width)
