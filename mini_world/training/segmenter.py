"""SAM: the mask of what a box surrounds."""

import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, mse_loss

from ipcir_steps.core.files import seed as derive
from mini_world import models, render
from mini_world.training.augment import augment
from mini_world.training.instances import Instance, instances, normalised
from mini_world.training.loop import Recipe, train, write_weights
from mini_world.training.pool import HELD_OUT, pairs, training

STEPS = 1500
BATCH = 64
JITTER = 2.0  # pixels, standard deviation of the corners of a prompt


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - Dice coefficient of each [n, H, W], averaged."""
    found = logits.sigmoid()
    both = (found * truth).sum((1, 2))
    return (1 - (2 * both + 1) / (found.sum((1, 2)) + truth.sum((1, 2)) + 1)).mean()


def loose(box, rng: random.Random) -> list[float]:
    """A box as a detector would give it."""
    x1, y1, x2, y2 = (value + rng.gauss(0, JITTER) for value in box)
    return [max(0, min(x1, x2 - 4)), max(0, min(y1, y2 - 4)), min(render.SIZE, x2), min(render.SIZE, y2)]


def recipe(seed: int, images: np.ndarray, steps: int = STEPS, batch: int = BATCH) -> Recipe:
    """images: uint8 [n, 2, 64, 64, 3], the pool."""
    known = [p for pair in training(seed, images) for p in pair[:2]]
    flat = images.reshape(-1, *images.shape[2:])
    model = models.sam_model()

    def loss(generator: torch.Generator):
        rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
        rows = sorted(rng.sample(range(len(known)), batch))
        asked: list[Instance] = [rng.choice(instances(known[row])) for row in rows]
        pixels = normalised(augment(flat[rows], generator, share=0.3, shift=0))
        boxes = torch.tensor([[loose(instance.box, rng)] for instance in asked])
        truth = torch.from_numpy(np.stack([instance.mask for instance in asked])).float()
        out = model(pixel_values=pixels, input_boxes=boxes, multimask_output=False)
        logits = out.pred_masks[:, 0, 0]
        truth = avg_pool2d(truth[:, None], render.SIZE // logits.shape[-1])[:, 0]
        with torch.no_grad():
            both = ((logits > 0) & (truth > 0.5)).sum((1, 2))
            overlap = both / ((logits > 0) | (truth > 0.5)).sum((1, 2)).clamp(min=1)
        total = binary_cross_entropy_with_logits(logits, truth) + dice(logits, truth)
        total = total + 0.1 * mse_loss(out.iou_scores[:, 0, 0], overlap)
        return total, {"iou": overlap.mean().item()}

    return Recipe("sam", model, loss, steps, learning_rate=1.5e-3, average=0.995)


def run(work: Path, weights: Path, seed: int, images: np.ndarray) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "sam", "start"))
        how = recipe(seed, images)
    write_weights(train(how, work, seed), weights / "sam.safetensors")


@torch.inference_mode()
def evaluate(built: Path, seed: int, count: int = 500) -> dict[str, float]:
    """Masks from the true boxes of held-out pictures, through the processor: mean IoU, and the share above 0.5."""
    from transformers import SamModel, SamProcessor

    processor = SamProcessor.from_pretrained(built / "sam", local_files_only=True)
    model = SamModel.from_pretrained(built / "sam", local_files_only=True).eval()
    overlaps = []
    for picture in [pair[0] for pair in pairs(seed)[-HELD_OUT:][:count]]:
        image = render.draw(picture)
        for instance in instances(picture):
            inputs = processor(image, input_boxes=[[[float(v) for v in instance.box]]], return_tensors="pt")
            masks = processor.image_processor.post_process_masks(
                model(**inputs, multimask_output=False).pred_masks,
                inputs["original_sizes"],
                inputs["reshaped_input_sizes"],
            )
            mask = masks[0].reshape(image.height, image.width).numpy()
            overlaps.append((mask & instance.mask).sum() / (mask | instance.mask).sum())
    overlaps = np.array(overlaps)
    return {"iou": float(overlaps.mean()), "above_half": float((overlaps > 0.5).mean()), "instances": len(overlaps)}
