"""The published generator: Stable Diffusion 1.x, MIGC or MIGC++, ELITE."""

import numpy as np
from diffusers import StableDiffusionPipeline
from pycocotools import mask as rle
from transformers import CLIPVisionModel

from ipcir_steps.config.generation import Proxies
from ipcir_steps.errors import InputError, StepFailure
from ipcir_steps.models import Manifest
from ipcir_steps.proxies.checkpoints import load_migc
from ipcir_steps.proxies.elite import load_elite
from ipcir_steps.proxies.generator import Instance, Task, model_of
from ipcir_steps.proxies.pipeline import Item, LayoutPipeline
from ipcir_steps.proxies.text_to_image import load_pipeline
from ipcir_steps.proxies.torch_tools import placement

ELITE_ROLES = ("elite-global", "elite-local", "vision")


class MIGCGenerator:
    """Draws the layout. Without the ELITE models, instances from the reference are drawn from their description.

    The index says per image instance how it was drawn: ``mask``, ``whole image`` (no mask was found) or ``text``.
    """

    def __init__(self, settings: Proxies, models: dict[str, Manifest]):
        if settings.fuser_steps < settings.migc_steps or settings.fuser_steps < settings.steps - 1:
            raise InputError(
                f"{settings.fuser_steps} ends the naive fuser before the last step or before the MIGC blocks",
                file="--settings",
                field="fuser_steps",
                remedy="Plain steps lose the instances: use at least steps - 1 and migc_steps.",
            )
        self.settings = settings
        base = model_of(models, "model", "generator migc")
        migc = model_of(models, "migc", "generator migc")
        given = [role for role in ELITE_ROLES if role in models]
        if given and len(given) < len(ELITE_ROLES):
            for role in ELITE_ROLES:
                model_of(models, role, "ELITE")
        self.identity = {role: models[role].digest for role in ("model", "migc", *given)}
        parts = load_pipeline(StableDiffusionPipeline, base, settings)
        stage = load_migc(parts.unet, file_of(migc))
        elite = None
        if given:
            device, dtype = placement(settings)
            vision = CLIPVisionModel.from_pretrained(
                models["vision"].path, torch_dtype=dtype, local_files_only=True, use_safetensors=True
            )
            paths = (file_of(models["elite-global"]), file_of(models["elite-local"]))
            elite = load_elite(parts.unet, *paths, vision.to(device).eval())
        prediction = parts.scheduler.config.get("prediction_type", "epsilon")
        self.pipeline = LayoutPipeline(
            parts.unet, parts.vae, parts.text_encoder, parts.tokenizer, stage, elite, prediction=prediction
        )

    def draw(self, task: Task):
        settings, drawn_from = self.settings, {}
        items = [self.item(task, number, instance, drawn_from) for number, instance in enumerate(task.instances)]
        images = self.pipeline(
            task.scene,
            items,
            task.seeds,
            negative_prompt=settings.negative_prompt,
            steps=settings.steps,
            guidance=settings.guidance,
            migc_steps=settings.migc_steps,
            fuser_steps=settings.fuser_steps,
            width=settings.width,
            height=settings.height,
            proxies_per_batch=settings.proxies_per_batch,
            published_gate=settings.published_gate,
            local_weight=settings.local_weight,
        )
        return images, {"drawn_from": drawn_from} if drawn_from else {}

    def item(self, task: Task, number: int, instance: Instance, drawn_from: dict[str, str]) -> Item:
        if not instance.from_image or self.pipeline.elite is None:
            if instance.from_image:
                drawn_from[str(number)] = "text"
            return Item(instance.description, instance.box)
        drawn_from[str(number)] = "mask" if instance.mask else "whole image"
        return Item(
            instance.description,
            instance.box,
            category=instance.category,
            reference=task.open_reference(),
            mask=decode(instance.mask, number) if instance.mask else None,
        )


def decode(mask: dict, number: int) -> np.ndarray:
    """COCO RLE to [height, width] of 0 and 1. Raises StepFailure when it is damaged."""
    try:
        return rle.decode({"size": mask["size"], "counts": mask["counts"].encode()})
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise StepFailure(f"instance {number}: its mask is not a COCO RLE ({error})") from error


def file_of(model: Manifest) -> str:
    """The single file of a model, also when it lies in a directory."""
    if len(model.files) != 1:
        raise InputError(f"holds {len(model.files)} files instead of one checkpoint", file=model.path)
    name = next(iter(model.files))
    return model.path if model.path.endswith(name) else f"{model.path}/{name}"
