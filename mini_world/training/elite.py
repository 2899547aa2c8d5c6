"""ELITE for the mini world: the vision model and both mappers, trained on the finished Stable Diffusion and MIGC.

A picture is drawn from its layout as the pipeline does it: an instance that looks like a reference has two rows, its
description and ``a * noun``. The description is often cut to the noun, so that its looks must come from the reference.
"""

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ipcir_steps.core.files import seed as derive
from ipcir_steps.imagine.proxies.elite import CLIP_MEAN, CLIP_STD, LAYERS, GlobalMapper, LocalMapper, injected
from mini_world import diffusion, garments, render, world
from mini_world.shipped import settle
from mini_world.training import autoencoder
from mini_world.training.drawing import JITTER, disturbed, errors_of, noise_levels, teach
from mini_world.training.loop import Recipe, train, write_weights
from mini_world.training.pool import HELD_OUT, Picture, pairs
from mini_world.training.prompts import Prompts, sheet
from mini_world.training.regional import Layouts, References, latent_masks

STEPS = 800
LOOKING = 500  # steps in which the vision model first learns to tell things apart
BATCH = (9, 7)  # pictures drawn with the MIGC blocks, with the naive fuser
MOST = 4  # rows of instances: two things, each as text and as a reference
INSIDE = 8.0  # weight of the loss inside the boxes
WORN = 0.7  # share of the instances that look like a reference
WHOLE = 0.15  # share of those without a mask
PLAIN = 0.5  # share of the descriptions that are cut to the noun
NOUNS = (*world.SHAPES, *garments.NOUNS.values())


def things_of(picture: Picture) -> list[tuple[str, str]]:
    """Noun and colour of each instance."""
    if isinstance(picture, garments.Garment):
        return [(garments.NOUNS[picture.kind], picture.colour)]
    return [(thing.shape, thing.colour) for thing in picture.things]


def normalised(images: list[np.ndarray]) -> Tensor:
    """uint8 [64, 64, 3] each, as ``Elite`` gives them to the vision model. [I, 3, 64, 64]"""
    pixels = torch.from_numpy(np.stack(images)).float() / 255
    return ((pixels - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)).permute(0, 3, 1, 2)


class Looking(nn.Module):
    """The vision model with heads for noun, colour and mean RGB of the one thing on a black picture."""

    def __init__(self, vision: nn.Module):
        super().__init__()
        self.vision = vision
        self.heads = nn.Linear(2 * diffusion.WIDTH, len(NOUNS) + len(world.COLOURS) + 3)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        states = self.vision(pixels).last_hidden_state
        out = self.heads(torch.cat([states[:, 0], states[:, 1:].mean(1)], dim=-1))
        return out.split([len(NOUNS), len(world.COLOURS), 3], dim=-1)


def looking(vision: nn.Module, known: list[tuple[Picture, Picture]], images: np.ndarray) -> Recipe:
    model = Looking(vision)

    def loss(generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        shown, nouns, colours, means = [], [], [], []
        for row in torch.randint(len(known), (32,), generator=generator).tolist():
            side = int(torch.randint(2, (), generator=generator))
            things, masks = things_of(known[row][side]), render.silhouettes(known[row][side])
            index = int(torch.randint(len(things), (), generator=generator))
            shown.append(images[row, side] * masks[index][..., None])
            nouns.append(NOUNS.index(things[index][0]))
            colours.append(world.COLOURS.index(things[index][1]))
            means.append(images[row, side][masks[index]].mean(0) / 255)
        noun, colour, mean = model(normalised(shown))
        target = torch.tensor(nouns), torch.tensor(colours), torch.tensor(np.stack(means)).float()
        errors = F.cross_entropy(noun, target[0]), F.cross_entropy(colour, target[1]), F.mse_loss(mean, target[2])
        right = (noun.argmax(-1) == target[0]).float().mean().item()
        return errors[0] + errors[1] + 5 * errors[2], {"noun": right, "mean": errors[2].item()}

    return Recipe("elite_looking", model, loss, LOOKING, 1e-3, warmup=50, average=0.98)


class Network(nn.Module):
    """What is trained: the vision model and the mappers with their projections, which start as the U-Net's own."""

    def __init__(self, vision: nn.Module, unet: nn.Module):
        super().__init__()
        self.vision = vision
        self.elite_global = diffusion.mapper(GlobalMapper, unet)
        self.elite_local = diffusion.mapper(LocalMapper, unet)
        for mapper in (self.elite_global, self.elite_local):
            for name, projection in diffusion.projections(unet):
                getattr(mapper, name).weight.data.copy_(projection.weight.detach())

    def states(self, pixels: Tensor) -> list[Tensor]:
        output = self.vision(pixels, output_hidden_states=True)
        return [output.last_hidden_state, *(output.hidden_states[layer] for layer in LAYERS)]

    def encode(self, images: list[np.ndarray], masks: list[np.ndarray]) -> tuple[Tensor, Tensor]:
        """``Elite.encode`` for many: words [I, D] and local features [I, patches, D]."""
        words = self.elite_global(self.states(normalised(images)))[:, 0]
        cut = [image * mask[..., None] for image, mask in zip(images, masks, strict=True)]
        local = self.elite_local(self.states(normalised(cut)))
        side = round(local.shape[1] ** 0.5)
        small = F.interpolate(torch.from_numpy(np.stack(masks))[:, None].float(), size=(side, side))
        return words, local * small.flatten(2).transpose(1, 2)


class Lesson:
    """Batches of pictures whose instances look like those in a reference.

    parts: the frozen unet, text encoder and MIGC blocks. layouts: those of the batch that was made last.
    """

    def __init__(self, model: Network, parts: dict[str, nn.Module], prompts: Prompts, known, images: np.ndarray):
        self.model, self.parts, self.prompts, self.known, self.images = model, parts, prompts, known, images
        self.layouts: Layouts | None = None
        elite = {"global": model.elite_global, "local": model.elite_local}
        teach(self, parts["unet"], parts["migc"], elite)

    def prepare(self, rows: list[int], rng: random.Random, captioned: int = 0) -> None:
        """captioned: so many pictures, the last, are drawn from a caption alone."""
        names, images, masks, places, hosts = [], [], [], [], []
        numbers = torch.zeros(len(rows), 1 + MOST, dtype=torch.long)
        present = torch.zeros(len(rows), MOST, dtype=torch.bool)
        boxes = torch.zeros(len(rows), MOST, 4)

        def name(prompt: str) -> int:
            names.append(prompt)
            return len(names) - 1

        for picture, row in enumerate(rows):
            target = self.known[row][1]
            plan = sheet(target)
            alone = picture >= len(rows) - captioned
            numbers[picture, 0], place = name(rng.choice(plan.captions) if alone else plan.scene), 0
            for index, (noun, colour) in enumerate([] if alone else things_of(target)):
                found = self.reference(row, index, noun, colour, rng) if rng.random() < WORN else None
                cut = found is not None and rng.random() < PLAIN
                box = [min(max(v + rng.uniform(-JITTER, JITTER), 0.0), 1.0) for v in plan.boxes[index]]
                prompts = [world.article(noun) if cut else plan.descriptions[index]]
                if found is not None:
                    prompts.append(f"a * {noun}")
                for prompt in prompts:
                    numbers[picture, 1 + place], present[picture, place] = name(prompt), True
                    boxes[picture, place] = torch.tensor(box)
                    place += 1
                if found is not None:
                    images.append(found[0])
                    masks.append(found[1])
                    hosts.append(len(names) - 1)
                    places.append((picture, place))
        states, pooled, placeholder, local = self.encode(names, hosts, images, masks)
        where = torch.tensor(places).reshape(-1, 2)
        references = References(where[:, 0], where[:, 1], local, placeholder)
        masks = latent_masks(boxes, present, diffusion.IMAGE_SIZE, diffusion.LATENT_SIZE)
        self.layouts = Layouts(states, pooled, numbers, present, boxes, masks, BATCH[0], references)

    def reference(self, row: int, index: int, noun: str, colour: str, rng) -> tuple[np.ndarray, np.ndarray] | None:
        """A picture with this thing and its mask: the target itself, or the picture before the edit."""
        first, second = self.known[row]
        side, looked = 1, second
        same = [i for i, thing in enumerate(things_of(first)) if thing == (noun, colour)]
        if same and not isinstance(first, garments.Garment) and rng.random() < 0.5:
            side, looked, index = 0, first, same[0]
        image = np.array(self.images[row, side])
        if rng.random() < WHOLE:
            return image, np.ones(image.shape[:2], np.uint8)
        return image, render.silhouettes(looked)[index].astype(np.uint8)

    def encode(self, names: list[str], hosts: list[int], images, masks):
        """States and pooled states of all prompts, the words injected at the placeholders of the rows ``hosts``."""
        words, local = self.model.encode(images, masks)
        star = self.prompts.tokens("*")[0][1]
        tokens = [self.prompts.tokens(names[host])[0].index(star) for host in hosts]
        with injected(self.parts["text"], list(zip(hosts, tokens, strict=True)), list(words)):
            states, pooled = self.prompts.encode(self.parts["text"], names, None)
        return states, pooled, torch.tensor(tokens), local


def recipe(lesson: Lesson, latents: np.ndarray, scale: float, steps: int = STEPS) -> Recipe:
    signal = noise_levels()

    def loss(generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(latents), (sum(BATCH),), generator=generator).tolist()
        lesson.prepare(rows, random.Random(int(torch.randint(2**31, (), generator=generator))))
        clean = torch.from_numpy(np.stack([latents[row] for row in rows]).astype(np.float32)) * scale
        noisy = disturbed(clean, signal, BATCH, generator)
        errors = errors_of(lesson.parts["unet"], lesson.layouts, noisy, INSIDE)
        return errors.mean(), {"early": errors[: BATCH[0]].mean().item(), "late": errors[BATCH[0] :].mean().item()}

    return Recipe("elite", lesson.model, loss, steps, 1e-3, warmup=100, average=0.995)


def frozen(weights: Path) -> tuple[dict[str, nn.Module], float]:
    """The trained unet, MIGC blocks and text encoder, and the scale of the latents."""
    from safetensors.torch import load_file

    unet = settle(diffusion.unet(), weights, "sd_unet").to(memory_format=torch.channels_last)
    text = load_file(weights / "sd_text.safetensors")
    count = len(text.pop("token_ids")) + 1
    encoder = diffusion.text_encoder(count)
    encoder.load_state_dict(text)
    parts = {"unet": unet, "migc": settle(diffusion.migc_blocks(unet), weights, "migc"), "text": encoder.float()}
    for part in parts.values():
        part.eval().requires_grad_(False)
    return parts, float(load_file(weights / "sd_vae.safetensors")["scaling_factor"])


def run(work: Path, weights: Path, seed: int, images: np.ndarray) -> None:
    """Writes elite_vision, elite_global and elite_local below ``weights``. The latents are those of ``sd``."""
    parts, scale = frozen(weights)
    encoded = autoencoder.latents(None, images[:-HELD_OUT, 1], work.parent / "sd" / "latents.npy")
    known = [(first, second) for first, second, _ in pairs(seed, len(images))[:-HELD_OUT]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "elite"))
        vision = diffusion.vision()
        looked = train(looking(vision, known, images), work / "looking", seed)
        vision.load_state_dict({k.removeprefix("vision."): v for k, v in looked.items() if k.startswith("vision.")})
        lesson = Lesson(Network(vision, parts["unet"]), parts, Prompts(seed), known, images)
        trained = train(recipe(lesson, encoded, scale), work, seed)
    for name, part in (("elite_vision", "vision"), ("elite_global",) * 2, ("elite_local",) * 2):
        values = {k.removeprefix(f"{part}."): v for k, v in trained.items() if k.startswith(f"{part}.")}
        write_weights(values, weights / f"{name}.safetensors")


def evaluate(built: Path, seed: int, count: int = 60) -> dict[str, float]:
    """As ``sd``, for layouts with an instance that looks like one in the reference; see drawn.evaluate_references."""
    from mini_world.training.drawn import evaluate_references

    return evaluate_references(built, seed, count)
