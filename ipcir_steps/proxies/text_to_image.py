"""Any diffusers text-to-image pipeline (Stable Diffusion, SDXL, FLUX, …): the layout only gives the prompt."""

import inspect
from pathlib import Path

import diffusers
from diffusers import AutoPipelineForText2Image
from diffusers.utils import logging

from ipcir_steps.config.generation import Proxies
from ipcir_steps.errors import ModelError
from ipcir_steps.files import read_json
from ipcir_steps.models import Manifest
from ipcir_steps.proxies.generator import Task, model_of
from ipcir_steps.proxies.torch_tools import in_batches, noise_sources, placement


class TextToImage:
    """Draws ``scene, description 1, description 2, …`` from a diffusers directory."""

    automatic = AutoPipelineForText2Image

    def __init__(self, settings: Proxies, models: dict[str, Manifest]):
        self.settings = settings
        model = model_of(models, "model", f"generator {settings.generator}")
        self.identity = {"model": model.digest}
        self.pipeline = load_pipeline(self.automatic, model, settings)
        self.accepted = inspect.signature(self.pipeline.__call__).parameters

    def draw(self, task: Task):
        images = in_batches(task.seeds, self.settings.proxies_per_batch, lambda seeds: self.call(task, seeds))
        return images, {"prompt": task.prompt}

    def call(self, task: Task, seeds):
        wanted = {
            "prompt": [task.prompt] * len(seeds),
            "negative_prompt": [self.settings.negative_prompt] * len(seeds),
            "num_inference_steps": self.settings.steps,
            "guidance_scale": self.settings.guidance,
            "width": self.settings.width,
            "height": self.settings.height,
            "generator": noise_sources(seeds),
            **self.extra(task, seeds),
        }
        return self.pipeline(**{k: v for k, v in wanted.items() if k in self.accepted}).images

    def extra(self, task: Task, seeds) -> dict:
        return {}


def load_pipeline(kind, model: Manifest, settings: Proxies):
    """A diffusers pipeline from its directory, without a safety checker. kind None: the class named there.

    Raises ModelError when the directory is not one. Only safetensors weights are read.
    """
    device, dtype = placement(settings)
    logging.disable_progress_bar()
    index = "model_index.json"
    if index not in model.files:
        raise ModelError(f"model '{model.name}': {model.path} is not a diffusers directory ({index} is missing).")
    content = read_json(Path(model.path) / index)
    kind = kind or getattr(diffusers, str(content.get("_class_name")), None)
    if kind is None:
        raise ModelError(f"model '{model.name}': diffusers has no pipeline {content.get('_class_name')!r}.")
    extra = {"safety_checker": None} if "safety_checker" in content else {}
    try:
        pipeline = kind.from_pretrained(
            model.path, torch_dtype=dtype, local_files_only=True, use_safetensors=True, **extra
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"model '{model.name}': {model.path} cannot be loaded ({error}).") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)
