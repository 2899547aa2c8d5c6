"""Redraw images in which an open-vocabulary detector does not find every planned instance in its place."""

import dataclasses
from collections.abc import Sequence

from PIL import Image

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.boxes import Box, iou
from ipcir_steps.core.files import seed
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.core.pretrained import load_pretrained, load_processor
from ipcir_steps.imagine.proxies.generator import Generator, Task, model_of


class Check:
    """Grounding DINO, one category at a time."""

    def __init__(self, settings: Proxies, model: Manifest):
        from transformers import AutoProcessor, GroundingDinoForObjectDetection

        from ipcir_steps.core.devices import placement

        self.settings, self.identity = settings, model.digest
        self.device, self.dtype = placement(settings.device, settings.dtype)
        what = "Grounding DINO model"
        self.processor = load_processor(AutoProcessor, model.path, what)
        detector = load_pretrained(GroundingDinoForObjectDetection, model.path, what, dtype=self.dtype)
        self.detector = detector.to(self.device).eval()

    def __call__(self, image: Image.Image, task: Task) -> bool:
        """Whether every instance has a detection of its category, not used by another, with enough IoU."""
        planned: dict[str, list[Box]] = {}
        for instance in task.instances:
            planned.setdefault(instance.category, []).append(instance.box)
        return all(
            found_all(boxes, self.detect(image, category), self.settings.acceptance_iou)
            for category, boxes in planned.items()
        )

    def detect(self, image: Image.Image, category: str) -> list[Box]:
        """Boxes as fractions of the image, best score first."""
        import torch

        inputs = self.processor(images=image, text=f"{category.lower()}.", return_tensors="pt")
        inputs = inputs.to(self.device, self.dtype)
        with torch.no_grad():
            output = self.detector(**inputs)
        found = self.processor.post_process_grounded_object_detection(
            output, inputs["input_ids"], threshold=self.settings.acceptance_score, text_threshold=0.25
        )[0]
        order = found["scores"].argsort(descending=True, stable=True)
        return [tuple(box) for box in found["boxes"][order].tolist()]


def found_all(planned: Sequence[Box], detected: Sequence[Box], threshold: float) -> bool:
    """Greedy matching: each planned box takes the free detection that overlaps it most."""
    free = list(detected)
    for box in planned:
        best = max(free, key=lambda other: iou(box, other), default=None)
        if best is None or iou(box, best) <= threshold:
            return False
        free.remove(best)
    return True


def load_check(settings: Proxies, models: dict[str, Manifest]) -> Check | None:
    """None when no redraws are wanted."""
    if settings.redraws == 0:
        return None
    return Check(settings, model_of(models, "detector", "redraws"))


def draw_accepted(generator: Generator, task: Task, check: Check | None, settings: Proxies) -> tuple[list, list, dict]:
    """Images, their seeds, and notes.

    With a check, rejected images are redrawn from new seeds, ``redraws`` times at most. The last image is kept when
    none was accepted; the verdicts are in the notes.
    """
    drawn, notes = generator.draw(task)
    images, seeds = list(drawn), list(task.seeds)
    if check is None:
        return images, seeds, notes
    accepted, draws = [check(image, task) for image in images], [1] * len(images)
    for attempt in range(1, settings.redraws + 1):
        rejected = [n for n, verdict in enumerate(accepted) if not verdict]
        if not rejected:
            break
        new_seeds = tuple(seed(task.seeds[n], attempt) for n in rejected)
        texts = tuple(task.texts[n] for n in rejected) if task.texts else ()
        numbers = tuple(task.numbers[n] for n in rejected) if task.numbers else ()
        redrawn, _ = generator.draw(dataclasses.replace(task, seeds=new_seeds, texts=texts, numbers=numbers))
        for n, new_seed, image in zip(rejected, new_seeds, redrawn, strict=True):
            images[n], seeds[n], accepted[n] = image, new_seed, check(image, task)
            draws[n] += 1
    return images, seeds, {**notes, "accepted": accepted, "draws": draws}
