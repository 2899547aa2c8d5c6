"""A few-step generator: latent consistency distillation of the mini world's Stable Diffusion, MIGC and ELITE.

Luo et al. 2023 (Latent Consistency Models, arXiv 2310.04378, and LCM-LoRA, arXiv 2311.05556): a student f(z, t) gives,
from any point of a trajectory of the teacher's probability-flow ODE, the trajectory's end. The student is a LoRA of the
U-Net. It learns what the teacher predicts with classifier-free guidance, so it draws without.
"""

import dataclasses
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ipcir_steps.config import Config
from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.files import seed as derive
from mini_world import diffusion
from mini_world.lora import LoRA
from mini_world.shipped import settle
from mini_world.training import autoencoder, elite
from mini_world.training.drawing import EARLY, noise_levels
from mini_world.training.loop import Recipe, train, write_weights
from mini_world.training.pool import HELD_OUT, pairs
from mini_world.training.prompts import Prompts
from mini_world.training.regional import Layouts

STEPS = 1800
BATCH = (12, 4)  # pictures drawn from a layout, from a caption
GRID = 20  # training times between two that are learned: 19, 39, … 999, where LCMScheduler's steps are
STRIDE = 100  # training times of one step of the teacher, which draws in ten
SIGMA, SCALING = 0.5, 10.0  # sigma_data and timestep_scaling of LCMScheduler
HUBER = 0.001  # of the pseudo-Huber loss, as published
TARGET = 0.95  # decay of the weights that give the targets, as published
INSIDE = 3.0  # weight of the loss inside the boxes; 1 outside


class Network(nn.Module):
    """The student, and its moving average, which gives the targets and is part of the state."""

    def __init__(self, unet: nn.Module):
        super().__init__()
        self.student, self.target = LoRA(unet), LoRA(unet)
        self.target.load_state_dict(self.student.state_dict())
        self.target.requires_grad_(False)

    @torch.no_grad()
    def follow(self) -> None:
        for slow, fast in zip(self.target.parameters(), self.student.parameters(), strict=True):
            slow.lerp_(fast, 1 - TARGET)


def roots(signal: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of the picture and of the noise at training times, [B, 1, 1, 1] each."""
    share = signal[times][:, None, None, None]
    return share.sqrt(), (1 - share).sqrt()


def consistency(noisy: Tensor, velocity: Tensor, times: Tensor, signal: Tensor) -> Tensor:
    """f(z, t) = c_skip z + c_out x0 as ``LCMScheduler.step`` has it; at t = 0 it is z. [B, 4, h, w]"""
    a, b = roots(signal, times)
    scaled = (times * SCALING)[:, None, None, None]
    skip, out = SIGMA**2 / (scaled**2 + SIGMA**2), scaled / (scaled**2 + SIGMA**2) ** 0.5
    return skip * noisy + out * (a * noisy - b * velocity)


def ddim(noisy: Tensor, velocity: Tensor, times: Tensor, earlier: Tensor, signal: Tensor) -> Tensor:
    """One DDIM step of the teacher from ``times`` to ``earlier``."""
    a, b = roots(signal, times)
    a_, b_ = roots(signal, earlier)
    return a_ * (a * noisy - b * velocity) + b_ * (b * noisy + a * velocity)


def draw_times(generator: torch.Generator) -> Tensor:
    """Training times: of the layouts falling, the first 999; of the captions any. [sum(BATCH)]"""
    drawn = torch.randint(1000 // GRID, (sum(BATCH),), generator=generator) * GRID + GRID - 1
    drawn[0] = 999
    return torch.cat([drawn[: BATCH[0]].sort(descending=True).values, drawn[BATCH[0] :]])


def unconditional(states: Tensor, pooled: Tensor, count: int) -> Layouts:
    """The negative prompt (states [1, tokens, D], pooled [1, D]) for so many pictures."""
    size = diffusion.LATENT_SIZE
    rows, present = torch.zeros(count, 1, dtype=torch.long), torch.zeros(count, 0, dtype=torch.bool)
    return Layouts(states, pooled, rows, present, torch.zeros(count, 0, 4), torch.ones(count, 1, size, size), 0)


class Distillation:
    """The loss of a step.

    lesson: makes the layouts; its U-Net, text encoder, MIGC and ELITE are frozen. settings: the teacher's guidance and
    negative prompt. latents: [pictures, 4, 16, 16] unscaled.
    """

    def __init__(self, model: Network, lesson: elite.Lesson, settings: Proxies, latents: np.ndarray, scale: float):
        self.model, self.lesson, self.unet = model, lesson, lesson.parts["unet"]
        self.settings, self.latents, self.scale = settings, latents, scale
        self.signal = noise_levels()
        with torch.no_grad():
            states = lesson.prompts.encode(lesson.parts["text"], [settings.negative_prompt], None)
        self.negative = unconditional(*states, sum(BATCH))

    def velocity(self, noisy: Tensor, times: Tensor, layouts: Layouts, update: LoRA | None = None) -> Tensor:
        """Predicted by the teacher, or by the U-Net with an update. The MIGC blocks draw at times from EARLY."""
        if layouts is not self.negative:
            layouts = dataclasses.replace(layouts, blocks=int((times[: BATCH[0]] >= EARLY).sum()))
        self.lesson.layouts = layouts
        weights = {} if update is None else update.updated(self.unet)
        given = {"encoder_hidden_states": layouts.text[:1]}
        return torch.func.functional_call(self.unet, weights, (noisy, times), given).sample

    def __call__(self, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        self.model.follow()
        with torch.no_grad():
            rows = torch.randint(len(self.latents), (sum(BATCH),), generator=generator).tolist()
            rng = random.Random(int(torch.randint(2**31, (), generator=generator)))
            self.lesson.prepare(rows, rng, captioned=BATCH[1])
            layouts, times = self.lesson.layouts, draw_times(generator)
            noisy = self.disturbed(rows, times, generator)
            earlier = (times - STRIDE).clamp(min=0)
            negative = self.velocity(noisy, times, self.negative)
            taught = negative + self.settings.guidance * (self.velocity(noisy, times, layouts) - negative)
            before = ddim(noisy, taught, times, earlier, self.signal)
            velocity = self.velocity(before, earlier, layouts, self.model.target)
            target = consistency(before, velocity, earlier, self.signal)
        found = consistency(noisy, self.velocity(noisy, times, layouts, self.model.student), times, self.signal)
        errors = distance(found - target, layouts)
        early = times[: BATCH[0]] >= EARLY
        figures = {"early": errors[: BATCH[0]][early], "late": errors[: BATCH[0]][~early], "plain": errors[BATCH[0] :]}
        return errors.mean(), {name: value.mean().item() for name, value in figures.items() if len(value)}

    def disturbed(self, rows: list[int], times: Tensor, generator: torch.Generator) -> Tensor:
        """Noisy latents [B, 4, h, w]; pure noise at the last time, as where drawing starts."""
        clean = torch.from_numpy(np.stack([self.latents[row] for row in rows]).astype(np.float32)) * self.scale
        noise = torch.randn(clean.shape, generator=generator)
        a, b = roots(self.signal, times)
        noisy = torch.where(times[:, None, None, None] == 999, noise, a * clean + b * noise)
        return noisy.contiguous(memory_format=torch.channels_last)


def distance(difference: Tensor, layouts: Layouts) -> Tensor:
    """Pseudo-Huber error [B], ``INSIDE`` times as heavy in the boxes."""
    weight = 1 + (INSIDE - 1) * layouts.masks[:, :-1].sum(1, keepdim=True).clamp(max=1)
    errors = (difference.square() + HUBER**2).sqrt() - HUBER
    return (errors * weight).mean((1, 2, 3)) / weight.mean((1, 2, 3))


def recipe(lesson: elite.Lesson, latents: np.ndarray, scale: float, steps: int = STEPS) -> Recipe:
    model = Network(lesson.parts["unet"])
    loss = Distillation(model, lesson, Config().stacks["mini"].proxies, latents, scale)
    return Recipe("lcm", model, loss, steps, 1e-3, weight_decay=0.0, warmup=100, average=0.99)


def lesson_of(weights: Path, seed: int, images: np.ndarray) -> tuple[elite.Lesson, float]:
    """The frozen teacher, whose layouts are of the training pictures, and the scale of its latents."""
    parts, scale = elite.frozen(weights)
    model = elite.Network(diffusion.vision(), parts["unet"])
    for name, part in (("elite_vision", "vision"), ("elite_global",) * 2, ("elite_local",) * 2):
        settle(getattr(model, part), weights, name)
    known = [(first, second) for first, second, _ in pairs(seed, len(images))[:-HELD_OUT]]
    return elite.Lesson(model.eval().requires_grad_(False), parts, Prompts(seed), known, images), scale


def run(work: Path, weights: Path, seed: int, images: np.ndarray) -> None:
    """Writes lcm below ``weights``. Reads what ``sd`` and ``elite`` wrote there."""
    lesson, scale = lesson_of(weights, seed, images)
    vae, _ = diffusion.trained_autoencoder(weights)
    encoded = autoencoder.latents(vae, images[:-HELD_OUT, 1], work / "latents.npy")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "lcm"))
        how = recipe(lesson, encoded, scale)
    trained = train(how, work, seed)
    student = {k.removeprefix("student."): v for k, v in trained.items() if k.startswith("student.")}
    write_weights(student, weights / "lcm.safetensors")


def evaluate(built: Path, seed: int, count: int = 100) -> dict[str, float]:
    """What 1, 2 and 4 steps draw, with the update and without; see drawn.evaluate_few."""
    from mini_world.training.drawn import evaluate_few

    return evaluate_few(built, seed, count)
