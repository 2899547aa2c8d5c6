"""The published generator: Stable Diffusion 1.x, MIGC or MIGC++, ELITE."""

import dataclasses

import numpy as np
from diffusers import StableDiffusionPipeline
from transformers import CLIPVisionModel

from ipcir_steps.config.generation import ADDED, Proxies
from ipcir_steps.core.checkpoints import weights_file
from ipcir_steps.core.devices import loaded, placement
from ipcir_steps.core.errors import InputError, ModelError, StepFailure
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.core.masks import decode_rle, into_box, resized
from ipcir_steps.core.pretrained import load_pretrained
from ipcir_steps.imagine.proxies.additions import fit
from ipcir_steps.imagine.proxies.checkpoints import load_migc
from ipcir_steps.imagine.proxies.elite import load_elite
from ipcir_steps.imagine.proxies.generator import Instance, Task, model_of
from ipcir_steps.imagine.proxies.migc import MIGCPlus
from ipcir_steps.imagine.proxies.pipeline import Item, LayoutPipeline
from ipcir_steps.imagine.proxies.samplers import BETAS, check, of_layouts, sampler
from ipcir_steps.imagine.proxies.text_to_image import load_pipeline

NO_SCENE = "a high quality image"  # as published
ELITE_ROLES = ("elite_global", "elite_local", "vision")


def check_guidance(settings: Proxies) -> None:
    """Raises InputError where ELITE's gate would be read from rows that are not computed."""
    if settings.published_gate and (settings.guidance <= 1 or settings.guidance_until < 1):
        raise InputError(
            "gates by the negative prompt's row, which is not computed without guidance",
            file="--settings",
            field="published_gate",
            remedy="Set it to false (the gate of the instance's own row), or guidance above 1 and guidance_until to 1.",
        )


class MIGCGenerator:
    """Draws the layout. Without the ELITE models, instances from the reference are drawn from their description.

    The index says per image instance how it was drawn (``drawn_from``: ``mask``, ``whole image`` where no mask was
    found, or ``text``), and which instances went into a region in place of their box (``regions``).
    """

    def __init__(self, settings: Proxies, models: dict[str, Manifest]):
        if settings.fuser_steps < settings.migc_steps or settings.fuser_steps < settings.steps - 1:
            raise InputError(
                f"{settings.fuser_steps} ends the naive fuser before the last step or before the MIGC blocks",
                file="--settings",
                field="fuser_steps",
                remedy="Plain steps lose the instances: use at least steps - 1 and migc_steps.",
            )
        name = of_layouts(settings)
        check(settings, name)
        check_guidance(settings)
        self.settings = settings
        base = model_of(models, "generator", "generator migc")
        migc = model_of(models, "migc", "generator migc")
        given = [role for role in ELITE_ROLES if role in models]
        if given and len(given) < len(ELITE_ROLES):
            for role in ELITE_ROLES:
                model_of(models, role, "ELITE")
        self.identity = {role: models[role].digest for role in ("generator", "migc", *given, *ADDED) if role in models}
        parts = load_pipeline(StableDiffusionPipeline, base, settings)
        fit(parts, settings, models)
        stage = load_migc(parts.unet, weights_file(migc))
        loaded("MIGC blocks", migc.path)
        blocks = (getattr(processor, "migc", None) for processor in parts.unet.attn_processors.values())
        self.takes_regions = any(isinstance(block, MIGCPlus) for block in blocks)
        if settings.regions != "box" and not self.takes_regions:
            raise InputError(
                f"{settings.regions} needs MIGC++, and {migc.path} is MIGC, which takes boxes only",
                file="--settings",
                field="regions",
                remedy="Give MIGC++_SD14.ckpt for the role migc, or set it to box.",
            )
        elite = None
        if given:
            device, dtype = placement(settings.device, settings.dtype)
            vision = load_pretrained(CLIPVisionModel, models["vision"].path, "CLIP vision model", dtype=dtype)
            paths = (weights_file(models["elite_global"]), weights_file(models["elite_local"]))
            elite = load_elite(parts.unet, *paths, vision.to(device).eval())
            loaded("ELITE mappers", paths[0])
        if parts.unet.config.time_cond_proj_dim is not None:
            raise ModelError(
                f"model '{base.name}': its U-Net takes the guidance scale as an input, which generator migc does not"
                " give. Use text_to_image, or the model's LoRA weights with a plain Stable Diffusion 1.x."
            )
        prediction = parts.scheduler.config.get("prediction_type", "epsilon")
        scheduler = sampler(name, {**BETAS, "prediction_type": prediction}, settings.spacing)
        self.pipeline = LayoutPipeline(
            parts.unet, parts.vae, parts.text_encoder, parts.tokenizer, stage, elite, scheduler
        )

    def draw(self, task: Task):
        settings, notes = self.settings, {"drawn_from": {}, "regions": {}}
        items = [self.item(task, number, instance, notes) for number, instance in enumerate(task.instances)]
        images = self.pipeline(
            task.scene or NO_SCENE,
            items,
            task.seeds,
            negative_prompt=settings.negative_prompt,
            steps=settings.steps,
            guidance=settings.guidance,
            migc_steps=settings.migc_steps,
            migc_until=settings.migc_until,
            fuser_steps=settings.fuser_steps,
            tcd_eta=settings.tcd_eta,
            guidance_until=settings.guidance_until,
            reuse_every=settings.reuse_every,
            width=settings.width,
            height=settings.height,
            proxies_per_batch=settings.proxies_per_batch,
            published_gate=settings.published_gate,
            local_weight=settings.local_weight,
        )
        return images, {name: note for name, note in notes.items() if note}

    def item(self, task: Task, number: int, instance: Instance, notes: dict[str, dict]) -> Item:
        mask = decode_rle(instance.mask, f"instance {number}: mask") if instance.mask and instance.from_image else None
        if mask is not None and not mask.any():
            mask = None
        item = Item(instance.description, instance.box, region=self.region(instance, number, mask, notes["regions"]))
        if not instance.from_image:
            return item
        if self.pipeline.elite is None:
            notes["drawn_from"][str(number)] = "text"
            return item
        notes["drawn_from"][str(number)] = self.settings.unmasked if mask is None else "mask"
        if mask is None and self.settings.unmasked == "text":
            return item
        return dataclasses.replace(item, category=instance.category, reference=task.open_reference(), mask=mask)

    def region(self, instance: Instance, number: int, mask: np.ndarray | None, notes: dict) -> np.ndarray | None:
        """Where the instance goes, [height, width] of 0 and 1; None for its box. Notes which, unless it is the box."""
        size = self.settings.height, self.settings.width
        if instance.region is not None:
            if not self.takes_regions:
                raise StepFailure(f"instance {number} has a region; MIGC takes boxes only, MIGC++ takes both")
            notes[str(number)] = "layout"
            return resized(decode_rle(instance.region, f"instance {number}: region"), *size)
        if self.settings.regions == "reference_mask" and mask is not None:
            notes[str(number)] = "reference mask"
            return into_box(mask, instance.box, *size)
        return None
