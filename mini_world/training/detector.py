"""Grounding DINO: the box of a thing by the name of its category, and no box where there is no such thing."""

import copy
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ipcir_steps.config.vision import Masks
from ipcir_steps.core.files import seed as derive
from mini_world import models, render
from mini_world.training.augment import augment
from mini_world.training.instances import CATEGORIES, Instance, instances, normalised, question
from mini_world.training.loop import Recipe, train, write_weights
from mini_world.training.pool import HELD_OUT, pairs, training

STEPS = 2500  # the shipped weights are the moving average at step 1662 of these
BATCH = 48


def labels_of(answers: Sequence[Instance | None]) -> list[dict[str, Tensor]]:
    """As the library wants them: centre, width and height as fractions; no box where there is no answer."""
    found = []
    for answer in answers:
        boxes = torch.empty(0, 4)
        if answer is not None:
            x1, y1, x2, y2 = answer.box
            boxes = torch.tensor([[(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]]) / render.SIZE
        found.append({"class_labels": torch.zeros(len(boxes), dtype=torch.long), "boxes": boxes})
    return found


def detection_loss(model, pixels: Tensor, ids: Tensor, labels: list[dict[str, Tensor]]):
    """The library's loss on the decoder's layers and on the encoder's proposals; also the model's output.

    The library's own forward scores its static queries in place of the proposals, which would leave the choice
    of proposals untrained; so that part is made here from the proposals, as in the published training.
    """
    from transformers.loss.loss_grounding_dino import GroundingDinoForObjectDetectionLoss
    from transformers.models.grounding_dino.modeling_grounding_dino import build_label_maps, build_text_mask

    out = model(pixel_values=pixels, input_ids=ids, labels=labels)
    config = copy.copy(model.config)
    config.two_stage = config.auxiliary_loss = False
    proposals = out.enc_outputs_class
    found, _, _ = GroundingDinoForObjectDetectionLoss(
        proposals, labels, pixels.device, out.enc_outputs_coord_logits.sigmoid(), config,
        build_label_maps(proposals, ids), build_text_mask(proposals, torch.ones_like(ids)),
    )  # fmt: skip
    weights = {"loss_ce": 2.0, "loss_bbox": config.bbox_loss_coefficient, "loss_giou": config.giou_loss_coefficient}
    decoded = sum(
        value * weights[name.rstrip("_0123456789")]
        for name, value in out.loss_dict.items()
        if name.rstrip("_0123456789") in weights
    )
    return decoded + found, out


def recipe(seed: int, images: np.ndarray, steps: int = STEPS, batch: int = BATCH) -> Recipe:
    """images: uint8 [n, 2, 64, 64, 3], the pool."""
    known = [p for pair in training(seed, images) for p in pair[:2]]
    flat = images.reshape(-1, *images.shape[2:])
    model, tokenizer = models.grounding_dino_model()
    prompts = {category: tokenizer(f"{category}.")["input_ids"] for category in CATEGORIES}

    def loss(generator: torch.Generator):
        rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
        rows = sorted(rng.sample(range(len(known)), batch))
        asked = [question(known[row], rng) for row in rows]
        total, out = detection_loss(
            model,
            normalised(augment(flat[rows], generator, share=0.3, shift=0)),
            torch.tensor([prompts[category] for category, _ in asked]),
            labels_of([answer for _, answer in asked]),
        )
        scores = out.logits.detach().sigmoid().amax((1, 2))
        there = torch.tensor([answer is not None for _, answer in asked])
        return total, {
            "present": scores[there].mean().item(),
            "absent": scores[~there].mean().item(),
            "box": out.loss_dict["loss_bbox"].item(),
        }

    return Recipe("grounding_dino", model, loss, steps, learning_rate=1e-3, average=0.995)


def run(work: Path, weights: Path, seed: int, images: np.ndarray) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "grounding_dino", "start"))
        how = recipe(seed, images)
    write_weights(train(how, work, seed), weights / "grounding_dino.safetensors")


def evaluate(built: Path, seed: int, count: int = 500) -> dict[str, float]:
    """Masks of held-out pictures through the masks step, detector and segmenter together, at its default thresholds.

    found: share of present things whose mask overlaps the true one with IoU > 0.5; wrong: share of absent
    categories (of the same kind: a shape in a scene, a garment beside a garment) for which a mask is made.
    """
    from ipcir_steps.core.masks import decode_rle
    from ipcir_steps.imagine.masks import segmenter

    segment = segmenter(built / "grounding_dino", built / "sam", Masks(device="cpu"))
    rng = random.Random(derive(seed, "detector evaluation"))
    overlaps, made = [], []
    for picture in [pair[0] for pair in pairs(seed)[-HELD_OUT:][:count]]:
        image = render.draw(picture)
        for instance in instances(picture):
            mask = segment(image, instance.category)
            overlap = 0.0
            if "rle" in mask:
                cut = decode_rle(mask["rle"])
                overlap = (cut & instance.mask).sum() / (cut | instance.mask).sum()
            overlaps.append(overlap)
        made.append("rle" in segment(image, question(picture, rng, absent=1.0)[0]))
    overlaps = np.array(overlaps)
    return {
        "found": float((overlaps > 0.5).mean()),
        "iou": float(overlaps[overlaps > 0.5].mean()) if (overlaps > 0.5).any() else 0.0,
        "wrong": float(np.mean(made)),
        "instances": len(overlaps),
        "absent": len(made),
    }
