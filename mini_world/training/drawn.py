"""Measuring what the real generator draws of held-out layouts, as the judge sees it."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ipcir_steps.config import Config
from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.files import seed as derive
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.generator import Task
from ipcir_steps.imagine.proxies.migc_generator import MIGCGenerator
from ipcir_steps.imagine.proxies.tasks import read_instance
from ipcir_steps.seek.embeddings.clip import load_encoder
from mini_world import garments, render, world
from mini_world.training import judge
from mini_world.training.lessons import layout
from mini_world.training.pool import HELD_OUT, Picture, pairs


def generator(built: Path, elite: bool, settings: Proxies | None = None, few: bool = False) -> MIGCGenerator:
    """The real generator on a directory of built models, by default as the mini world's configuration sets it.

    few: with the LoRA that was distilled for few steps.
    """
    roles = {"generator": "sd", "migc": "migc"} | ({"lora": "lcm"} if few else {})
    if elite:
        roles |= {"elite_global": "elite_global", "elite_local": "elite_local", "vision": "elite_vision"}
    return MIGCGenerator(
        settings or Config().stacks["mini"].proxies, {role: load_manifest(built / name) for role, name in roles.items()}
    )


def held_out(seed: int) -> list[tuple[Picture, Picture]]:
    return [(first, second) for first, second, _ in pairs(seed)[-HELD_OUT:]]


def task(number: int, plan: dict, reference: Path | None = None, masks: Sequence[dict | None] = ()) -> Task:
    """The drawing task of a layout. masks: of the instances on the reference."""
    masks = [*masks, *[None] * len(plan["instances"])]
    instances = tuple(read_instance(one, n, masks[n]) for n, one in enumerate(plan["instances"]))
    seeds = (derive(number, "drawn"),)
    return Task(str(number), "", plan["scene"], instances, seeds, reference)


def agreement_of(built: Path, asked: Iterable[tuple[Picture, Task]], source: MIGCGenerator) -> dict[str, float]:
    """``judge.agreement`` of what is drawn for the tasks with the pictures that they describe."""
    return judged(built, asked, drawn_by(source, asked))


def drawn_by(source: MIGCGenerator, asked: Iterable[tuple[Picture, Task]]) -> list[Image.Image]:
    """The images of all tasks, in their order; of each as many as it has seeds."""
    return [image for _, one in asked for image in source.draw(one)[0]]


def judged(built: Path, asked: Iterable[tuple[Picture, Task]], images: list[Image.Image]) -> dict[str, float]:
    """``judge.agreement`` of one image for each task with the picture that it describes."""
    return judge.agreement([picture for picture, _ in asked], judge.judge(judge.load(built), images))


def from_text(seed: int, count: int) -> list[tuple[Picture, Task]]:
    """Layouts of held-out pictures, every instance drawn from its description."""
    tasks = []
    for number, (_, second) in enumerate(held_out(seed)[:count]):
        plan = layout(second, second)
        for instance in plan["instances"]:
            instance["modality"] = "text"
        tasks.append((second, task(number, plan)))
    return tasks


def from_references(
    seed: int, count: int, directory: Path, masked: bool = True, named: bool = True
) -> list[tuple[Picture, Task]]:
    """Layouts of held-out targets with an instance that looks like one in the reference.

    masked: with the renderer's mask of it. named: with its description; else with its noun alone, so that its looks
    can only come from the reference. directory: where the references are written.
    """
    tasks = []
    for number, (first, second) in enumerate(held_out(seed)):
        if isinstance(second, garments.Garment) or isinstance(first, garments.Garment):
            continue
        plan, masks = layout(second, first), []
        if not any(one["modality"] == "image" for one in plan["instances"]):
            continue
        silhouettes = dict(zip((t.shape for t in first.things), render.silhouettes(first), strict=True))
        for instance in plan["instances"]:
            worn = instance["modality"] == "image"
            masks.append(rle_of(silhouettes[instance["category"]]) if worn and masked else None)
            if worn and not named:
                instance["description"] = world.article(instance["category"])
        path = directory / f"{number}.png"
        render.draw(first).save(path)
        tasks.append((second, task(number, plan, path, masks)))
        if len(tasks) == count:
            break
    return tasks


def rle_of(mask: np.ndarray) -> dict:
    from pycocotools import mask as rle

    encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def evaluate_text(built: Path, seed: int, count: int) -> dict[str, float]:
    return agreement_of(built, from_text(seed, count), generator(built, elite=False))


def evaluate_references(built: Path, seed: int, count: int) -> dict[str, float]:
    """Figures as ``judge.agreement``: with mask and description; ``noun_`` without description; ``whole_`` without
    mask; ``blind_`` without the description and without ELITE, to compare ``noun_`` with.
    """
    worn, figures = generator(built, elite=True), {}
    kinds = {"": (True, True), "noun_": (True, False), "whole_": (False, True)}
    with tempfile.TemporaryDirectory() as directory:
        for prefix, (masked, named) in kinds.items():
            asked = from_references(seed, count, Path(directory), masked, named)
            figures |= {f"{prefix}{k}": v for k, v in agreement_of(built, asked, worn).items()}
        asked = from_references(seed, count, Path(directory), True, False)
        blind = agreement_of(built, asked, generator(built, elite=False))
    return figures | {f"blind_{k}": v for k, v in blind.items()}


def few_steps(steps: int, distilled: bool) -> Proxies:
    """Settings of the mini stack for few steps: of the distilled generator, or of the teacher (DDIM)."""
    changes = {"steps": steps, "migc_until": 0.5}
    changes |= {"scheduler": "lcm", "guidance": 1.0} if distilled else {"scheduler": "ddim"}
    return Config().stacks["mini"].proxies.model_copy(update=changes)


def evaluate_few(built: Path, seed: int, count: int) -> dict[str, float]:
    """Figures as ``evaluate_text``: ``teacher_{steps}_`` of the mini stack's steps and of few, ``lcm_{steps}_``.

    Also ``noun_colour`` as ``evaluate_references`` has it, and ``likeness``: the mean cosine of CLIP's features with
    those of what the mini stack draws from the same noise.
    """
    stack = Config().stacks["mini"].proxies
    courses = [(f"teacher_{stack.steps}", stack, False)]
    for who, few in (("lcm", True), ("teacher", False)):
        courses += [(f"{who}_{steps}", few_steps(steps, few), few) for steps in (1, 2, 4)]
    figures, usual = {}, None
    with tempfile.TemporaryDirectory() as directory:
        texts, nouns = from_text(seed, count), from_references(seed, count // 2, Path(directory), named=False)
        for name, settings, few in courses:
            images = drawn_by(generator(built, False, settings, few), texts)
            shown = features(built, images)
            usual = shown if usual is None else usual
            found = judged(built, texts, images) | {"likeness": float((shown * usual).sum(-1).mean())}
            found["noun_colour"] = agreement_of(built, nouns, generator(built, True, settings, few))["colour"]
            figures |= {f"{name}_{key}": value for key, value in found.items()}
    return figures


def features(built: Path, images: list[Image.Image]) -> torch.Tensor:
    """CLIP's features [images, D] of length one."""
    encoder = load_encoder(built / "clip")
    return torch.nn.functional.normalize(encoder.pixels(torch.stack([encoder.transform(i) for i in images])), dim=-1)
