"""The mini world's Stable Diffusion with MIGC: an autoencoder, then U-Net, text encoder and MIGC blocks together."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mini_world import diffusion
from mini_world.training import autoencoder
from mini_world.training.loop import Recipe, train, write_weights
from mini_world.training.pool import HELD_OUT
from mini_world.training.prompts import Prompts, Sheet, sheets
from mini_world.training.regional import Layouts, RegionalProcessor, latent_masks

STEPS = 4000
# Pictures of a batch: drawn with the MIGC blocks (early times), with the naive fuser (late times), from a caption, and
# from the negative prompt, which classifier-free guidance steers away from.
BATCH = (12, 9, 4, 3)
EARLY = 500  # the first training time, of 1000, at which the MIGC blocks draw
JITTER = 0.02  # of the boxes, as a fraction of the image
INSIDE = 3.0  # weight of the loss inside the boxes; 1 outside
MOST = 2  # instances


class Network(nn.Module):
    """All that is trained. layouts: those of the next batch, for the processors of the U-Net."""

    def __init__(self, tokens: int):
        super().__init__()
        self.unet = diffusion.unet().to(memory_format=torch.channels_last)
        self.migc = diffusion.migc_blocks(self.unet)
        self.text = diffusion.text_encoder(tokens)
        self.layouts: Layouts | None = None
        teach(self, self.unet, self.migc)


def teach(lesson, unet: nn.Module, migc: nn.ModuleDict, elite: dict[str, nn.Module] | None = None) -> None:
    """Give the cross-attentions of a U-Net the processors that take the layouts of a batch from ``lesson.layouts``.

    elite: the mappers {"global", "local"}, with their projections.
    """
    processors, blocks = dict(unet.attn_processors), dict(migc.items())
    for name in processors:
        if name.endswith("attn2.processor"):
            layer = name.removesuffix(".processor").replace(".", "_")
            projections = elite and {
                role: tuple(getattr(mapper, f"{layer}_{part}") for part in ("to_k", "to_v"))
                for role, mapper in elite.items()
            }
            block = blocks.get(name.split(".transformer_blocks.")[0].replace(".", "-"))
            processors[name] = RegionalProcessor(lesson, block, projections)
    unet.set_attn_processor(processors)


def noise_levels() -> Tensor:
    """Share of the signal's variance at each training time, as Stable Diffusion has it. [1000]"""
    start, end = diffusion.BETAS["beta_start"], diffusion.BETAS["beta_end"]
    return (1 - torch.linspace(start**0.5, end**0.5, 1000, dtype=torch.float64) ** 2).cumprod(0).float()


def draw_times(generator: torch.Generator, counts: tuple[int, ...]) -> Tensor:
    """Training times of a batch; the late ones more often near ``EARLY``, where shapes form."""
    early, late, *rest = counts
    first = EARLY + torch.rand(early, generator=generator) * (1000 - EARLY)
    second = EARLY * torch.rand(late, generator=generator).sqrt()
    third = 1000 * torch.rand(sum(rest), generator=generator).pow(0.8)
    return torch.cat([first, second, third]).long().clamp(max=999)


def batch_of(prompts: Prompts, chosen: list[Sheet], text: nn.Module, generator: torch.Generator) -> Layouts:
    """The layouts of a batch: each sheet's, then captions and negative prompts in the last rows."""
    early, late, captioned, negative = BATCH
    drawn = early + late
    scenes = [sheet.scene for sheet in chosen[:drawn]]
    scenes += [prompts.caption(sheet, generator) for sheet in chosen[drawn : drawn + captioned]]
    scenes += [prompts.negative(generator) for _ in range(negative)]
    instances = [sheet.descriptions if row < drawn else () for row, sheet in enumerate(chosen)]
    names = list(dict.fromkeys([*scenes, *(name for row in instances for name in row)]))
    number = {name: index for index, name in enumerate(names)}
    rows = torch.zeros(len(chosen), 1 + MOST, dtype=torch.long)
    present = torch.zeros(len(chosen), MOST, dtype=torch.bool)
    boxes = torch.zeros(len(chosen), MOST, 4)
    for row, (scene, described) in enumerate(zip(scenes, instances, strict=True)):
        rows[row, 0] = number[scene]
        for place, name in enumerate(described):
            rows[row, 1 + place], present[row, place] = number[name], True
            boxes[row, place] = torch.tensor(chosen[row].boxes[place])
    noise = torch.rand(boxes.shape, generator=generator) * 2 - 1
    boxes = (boxes + JITTER * noise * present[..., None]).clamp(0, 1)
    states, pooled = prompts.encode(text, names, generator)
    masks = latent_masks(boxes, present, diffusion.IMAGE_SIZE, diffusion.LATENT_SIZE)
    return Layouts(states, pooled, rows, present, boxes, masks, early)


def disturbed(
    clean: Tensor, signal: Tensor, counts: tuple[int, ...], generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, their training times and the velocity to predict. clean: scaled latents [B, 4, h, w]."""
    times = draw_times(generator, counts)
    noise = torch.randn(clean.shape, generator=generator)
    a, b = signal[times].sqrt()[:, None, None, None], (1 - signal[times]).sqrt()[:, None, None, None]
    noisy = (a * clean + b * noise).contiguous(memory_format=torch.channels_last)
    return noisy, times, a * noise - b * clean


def errors_of(unet: nn.Module, layouts: Layouts, lesson: tuple[Tensor, Tensor, Tensor], inside: float) -> Tensor:
    """Squared error [B] of the predicted velocity, ``inside`` times as heavy in the boxes. lesson: see disturbed."""
    noisy, times, velocity = lesson
    predicted = unet(noisy, times, encoder_hidden_states=layouts.text[:1]).sample
    weight = 1 + (inside - 1) * layouts.masks[:, :-1].sum(1, keepdim=True).clamp(max=1)
    return ((predicted - velocity).square() * weight).mean((1, 2, 3)) / weight.mean((1, 2, 3))


def recipe(prompts: Prompts, drawn: list[Sheet], latents: np.ndarray, scale: float, steps: int = STEPS) -> Recipe:
    """drawn: the sheets of the training pictures; latents: [pictures, 4, 16, 16] unscaled, in the same order."""
    model = Network(len(prompts.vocabulary) + 1)
    signal = noise_levels()

    def loss(generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(drawn), (sum(BATCH),), generator=generator).tolist()
        clean = torch.from_numpy(np.stack([latents[row] for row in rows]).astype(np.float32)) * scale
        lesson = disturbed(clean, signal, BATCH, generator)
        model.layouts = batch_of(prompts, [drawn[row] for row in rows], model.text, generator)
        errors = errors_of(model.unet, model.layouts, lesson, INSIDE)
        early, late = BATCH[0], BATCH[0] + BATCH[1]
        figures = {"early": errors[:early], "late": errors[early:late], "plain": errors[late:]}
        return errors.mean(), {name: value.mean().item() for name, value in figures.items()}

    return Recipe("sd", model, loss, steps, 1.2e-3, warmup=300)


def run(work: Path, weights: Path, seed: int, images: np.ndarray) -> None:
    """Writes sd_vae, sd_unet, sd_text and migc below ``weights``."""
    torch.manual_seed(seed)
    vae = diffusion.autoencoder()
    vae.load_state_dict(autoencoder.run(work / "vae", seed, images))
    encoded = autoencoder.latents(vae, images[:-HELD_OUT, 1], work / "latents.npy")
    scale = autoencoder.scale_of(encoded)
    prompts, drawn = Prompts(seed), sheets(seed, len(images))[:-HELD_OUT]
    torch.manual_seed(seed)
    trained = train(recipe(prompts, drawn, encoded, scale), work, seed)
    weights.mkdir(parents=True, exist_ok=True)
    write_weights({**vae.state_dict(), "scaling_factor": torch.tensor(scale)}, weights / "sd_vae.safetensors")
    for part, name in (("unet", "sd_unet"), ("migc", "migc"), ("text", "sd_text")):
        values = {k.removeprefix(f"{part}."): v for k, v in trained.items() if k.startswith(f"{part}.")}
        if part == "text":
            values["token_ids"] = torch.tensor(prompts.vocabulary)
        write_weights(values, weights / f"{name}.safetensors")


def evaluate(built: Path, seed: int, count: int = 200) -> dict[str, float]:
    """Shares of what held-out layouts ask for that the judge sees in what the real generator draws."""
    from mini_world.training.drawn import evaluate_text

    return evaluate_text(built, seed, count)
