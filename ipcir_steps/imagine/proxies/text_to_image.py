"""Any diffusers text-to-image pipeline (Stable Diffusion, SDXL, FLUX, …): the layout only gives the prompt."""

import inspect
from pathlib import Path

import diffusers
from diffusers import AutoPipelineForText2Image, DiffusionPipeline
from diffusers.utils import logging

from ipcir_steps.config.generation import ADDED, Proxies
from ipcir_steps.core.devices import in_batches, loaded, noise_sources, placement
from ipcir_steps.core.errors import InputError, ModelError
from ipcir_steps.core.files import read_json, used_tree
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.imagine.proxies.additions import fit
from ipcir_steps.imagine.proxies.generator import Task, model_of
from ipcir_steps.imagine.proxies.pipeline_files import left_out, variant
from ipcir_steps.imagine.proxies.samplers import check, sampler


class TextToImage:
    """Draws ``scene, description 1, description 2, …``, or each image from a text of its own, from a diffusers
    directory."""

    automatic = AutoPipelineForText2Image

    def __init__(self, settings: Proxies, models: dict[str, Manifest]):
        self.settings = settings
        model = model_of(models, "generator", f"generator {settings.generator}")
        self.identity = {role: models[role].digest for role in ("generator", *ADDED) if role in models}
        check(settings, settings.scheduler)
        for field in ("guidance_until", "reuse_every"):
            if getattr(settings, field) != 1:
                raise InputError(
                    f"is for generator migc alone, not for {settings.generator}",
                    file="--settings", field=field, remedy="Leave it out.",
                )  # fmt: skip
        self.pipeline = load_pipeline(self.automatic, model, settings)
        choose(self.pipeline, settings, model.name)
        fit(self.pipeline, settings, models)
        self.accepted = inspect.signature(self.pipeline.__call__).parameters

    def draw(self, task: Task):
        images = in_batches(task.seeds, self.settings.proxies_per_batch, lambda seeds: self.call(task, seeds))
        return images, {"prompts": list(task.texts)} if task.texts else {"prompt": task.prompt}

    def call(self, task: Task, seeds):
        texts = dict(zip(task.seeds, task.texts, strict=True)) if task.texts else {}
        wanted = {
            "prompt": [texts.get(seed, task.prompt) for seed in seeds],
            "negative_prompt": [self.settings.negative_prompt] * len(seeds),
            "num_inference_steps": self.settings.steps,
            "guidance_scale": self.settings.guidance,
            "width": self.settings.width,
            "height": self.settings.height,
            "generator": noise_sources(seeds),
            **({"true_cfg_scale": 1.0} if self.settings.guidance <= 1 else {}),  # none: no second run of the network
            **({"eta": self.settings.tcd_eta} if self.settings.scheduler == "tcd" else {}),
            **self.extra(task, seeds),
        }
        return self.pipeline(**{k: v for k, v in wanted.items() if k in self.accepted}).images

    def extra(self, task: Task, seeds) -> dict:
        return {}


def choose(pipeline: DiffusionPipeline, settings: Proxies, name: str) -> None:
    """Give a pipeline the sampler of the settings. Raises InputError where the pipeline cannot use it."""
    if settings.scheduler == "default":
        return
    if not hasattr(pipeline, "unet"):  # a transformer, trained to predict a flow
        raise InputError(
            f"model '{name}' is a {type(pipeline).__name__}, whose flow {settings.scheduler} does not sample",
            file="--settings",
            field="scheduler",
            remedy="Leave it out: the pipeline has a sampler of its own.",
        )
    pipeline.scheduler = sampler(settings.scheduler, pipeline.scheduler.config, settings.spacing)


def load_pipeline(kind, model: Manifest, settings: Proxies):
    """A diffusers pipeline from its directory or from one safetensors file, without a safety checker.

    kind: pipeline class; None takes the one that the directory names. A single file needs ``settings.base_config``.
    Raises ModelError when the model is neither. Only safetensors weights are read.
    """
    device, dtype = placement(settings.device, settings.dtype)
    logging.disable_progress_bar()
    single = model.path.endswith(".safetensors")
    directory = Path(settings.base_config or "") if single else Path(model.path)
    index = directory / "model_index.json"
    if single and not settings.base_config:
        raise ModelError(f"model '{model.name}': {model.path} is one file; set proxies.base_config to its configs.")
    if not index.is_file():
        raise ModelError(f"model '{model.name}': {directory} is not a diffusers directory ({index.name} is missing).")
    content = read_json(index)
    named = getattr(diffusers, str(content.get("_class_name")), None)
    if named is None:
        raise ModelError(f"model '{model.name}': diffusers has no pipeline {content.get('_class_name')!r}.")
    if kind is not None and issubclass(kind, DiffusionPipeline):
        known = inspect.signature(kind.__init__).parameters
        parts = [name for name, part in content.items() if isinstance(part, list) and part[0] is not None]
        if foreign := [name for name in parts if name not in known]:
            raise ModelError(
                f"model '{model.name}': {directory} is a {content['_class_name']}, not a {kind.__name__}, which has no"
                f" {' and no '.join(foreign)}."
            )
    options = {"torch_dtype": dtype, "local_files_only": True, **dict.fromkeys(left_out(content))}
    try:
        if single:
            pipeline = named.from_single_file(model.path, config=str(used_tree(directory)), **options)
        else:
            stored = variant(model.files, dtype.itemsize == 2)
            pipeline = (kind or named).from_pretrained(model.path, use_safetensors=True, variant=stored, **options)
    except (OSError, ValueError) as error:
        raise ModelError(f"model '{model.name}': {model.path} cannot be loaded ({error}).") from error
    pipeline.set_progress_bar_config(disable=True)
    loaded(type(pipeline).__name__, model.path)
    return pipeline.to(device)
