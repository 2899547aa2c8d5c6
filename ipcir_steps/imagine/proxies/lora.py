"""LoRA weights (LCM-LoRA, Hyper-SD, DMD2, …) in a pipeline of diffusers: W + weight * alpha / rank * B A.

They are read by diffusers and PEFT, which skip what they cannot place; here every tensor of the file must be found in
the pipeline. They are loaded before the MIGC blocks and ELITE's projections, which they do not change.
"""

import logging
from pathlib import Path

from torch import nn

from ipcir_steps.core.checkpoints import damaged, weights_file
from ipcir_steps.core.devices import loaded
from ipcir_steps.core.errors import ModelError, first_line
from ipcir_steps.core.manifests import Manifest

NAME = "lora"
DOWN, UP = ("lora_down", "lora_A", "lora.down"), ("lora_up", "lora_B", "lora.up")  # kohya, PEFT, diffusers


def add_lora(pipeline, model: Manifest, weight: float = 1.0, fused: bool = True) -> None:
    """Load one safetensors file of LoRA weights into a pipeline.

    weight: factor of the update; fused: add it to the weights once, in place of computing it beside them in every call.
    Raises ModelError for a pipeline that takes none, and listing what of the file has no place in it.
    """
    path = weights_file(model)
    if not hasattr(pipeline, "load_lora_weights"):
        raise ModelError(f"model '{model.name}': a {type(pipeline).__name__} takes no LoRA weights.")
    if path.suffix != ".safetensors":
        raise ModelError(f"model '{model.name}': {path} is not a safetensors file, the only kind that is read here.")
    pairs = check_keys(model.name, path)
    noise = logging.getLogger("diffusers.loaders")
    level = noise.level
    noise.setLevel(logging.CRITICAL)  # it says here what the errors below say
    try:
        pipeline.load_lora_weights(
            str(path.parent), weight_name=path.name, adapter_name=NAME, local_files_only=True, use_safetensors=True
        )
    except Exception as error:  # of many kinds: names, shapes, a library that is missing
        raise ModelError(
            f"model '{model.name}': {path} does not fit the pipeline ({first_line(error)[:300]})."
        ) from error
    finally:
        noise.setLevel(level)
    placed = sum(len(adapted(part)) for part in pipeline.components.values() if isinstance(part, nn.Module))
    if placed != pairs:
        raise ModelError(
            f"model '{model.name}': {pairs - placed} of the {pairs} updates in {path} have no place in the"
            f" {type(pipeline).__name__}. Is it for another base model?"
        )
    if fused:
        names = [name for name in pipeline._lora_loadable_modules if adapted(getattr(pipeline, name, None))]
        pipeline.fuse_lora(components=names, lora_scale=weight)
        pipeline.unload_lora_weights()
    else:
        pipeline.set_adapters(NAME, weight)
    loaded("LoRA weights", path)


def check_keys(name: str, path: Path) -> int:
    """How many pairs of A and B a file holds. Raises ModelError for a damaged one and for tensors of other kinds."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            keys = list(file.keys())
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from error
    downs, ups = ([key for key in keys if any(part in key for part in kind)] for kind in (DOWN, UP))
    other = [key for key in keys if key not in {*downs, *ups} and not key.endswith("alpha")]
    if other:
        raise ModelError(f"model '{name}': {path} holds {other[0]}, which is no LoRA weight (of {len(other)} such).")
    if not downs or len(downs) != len(ups):
        raise ModelError(f"model '{name}': {path} holds {len(downs)} matrices A and {len(ups)} B of LoRA weights.")
    return len(downs)


def adapted(part: nn.Module | None) -> list[str]:
    """The layers of a network that have LoRA weights."""
    if part is None:
        return []
    return [name for name, layer in part.named_modules() if NAME in getattr(layer, "lora_A", ())]
