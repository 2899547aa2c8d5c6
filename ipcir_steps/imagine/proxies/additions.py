"""What a loaded pipeline is fitted with: LoRA weights, a small decoder, merged tokens, memory layout, compilation."""

import inspect
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.models.attention import FeedForward
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.devices import loaded
from ipcir_steps.core.errors import IPCIRError, ModelError
from ipcir_steps.core.files import read_json
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.imagine.proxies.lora import add_lora
from ipcir_steps.imagine.proxies.merging import merge_tokens


def fit(pipeline, settings: Proxies, models: dict[str, Manifest]) -> None:
    """Raises ModelError for weights that do not fit the pipeline, InputError for settings that do not."""
    if "lora" in models:
        add_lora(pipeline, models["lora"], settings.lora_weight, settings.lora_fused)
    if "decoder" in models:
        pipeline.vae = small_decoder(pipeline, models["decoder"])
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    merge_tokens(network, settings.merge_tokens)
    if settings.channels_last:
        for part in (network, pipeline.vae):
            part.to(memory_format=torch.channels_last)
    if settings.compile:
        for layer in repeated(network):
            layer.compile()


def small_decoder(pipeline, model: Manifest) -> AutoencoderTiny:
    """TAESD and its like: an AutoencoderTiny in place of the pipeline's autoencoder.

    A pipeline that encodes a reference keeps the encoder that its network was trained with, so it is refused. Raises
    ModelError for that, for latents of another kind or size, and for a directory that holds no such decoder.
    """
    vae = pipeline.vae
    if "image" in inspect.signature(pipeline.__call__).parameters:
        raise ModelError(
            f"model '{model.name}': a {type(pipeline).__name__} encodes the reference with its own autoencoder."
        )
    if "latent_channels" not in vae.config:  # Qwen-Image's autoencoder is one of videos
        raise ModelError(
            f"model '{model.name}': no AutoencoderTiny decodes the latents of a {type(pipeline).__name__}."
        )
    tiny = load_tiny(model, vae.dtype).to(vae.device).eval()
    theirs, ours = pipeline.vae_scale_factor, 2 ** (len(tiny.config.decoder_block_out_channels) - 1)
    if (tiny.config.latent_channels, ours) != (vae.config.latent_channels, theirs):
        raise ModelError(
            f"model '{model.name}': {model.path} decodes {tiny.config.latent_channels} channels to {ours} pixels each"
            f" way, and the latents are {vae.config.latent_channels} channels for {theirs} pixels."
        )
    loaded("small decoder", model.path)
    return tiny


def load_tiny(model: Manifest, dtype: torch.dtype) -> AutoencoderTiny:
    """Raises ModelError when the directory holds no AutoencoderTiny or not all of its weights."""
    path = Path(model.path)
    try:
        if read_json(path / "config.json").get("_class_name") != "AutoencoderTiny":
            raise ValueError("its config.json names another class")
        tiny, found = AutoencoderTiny.from_pretrained(
            path, local_files_only=True, use_safetensors=True, torch_dtype=dtype, output_loading_info=True
        )
    except (IPCIRError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: no AutoencoderTiny could be loaded ({error})") from error
    if missing := sorted(found["missing_keys"]):
        raise ModelError(f"{path}: {len(missing)} weights of an AutoencoderTiny are not in it ({missing[0]}, …).")
    return tiny


def repeated(network: nn.Module) -> list[nn.Module]:
    """The layers to compile: those that compute the same for every layout, many times, with few shapes.

    The cross-attentions of a layout are not: their windows are of the query, so they would be compiled for each.
    """
    if not isinstance(network, UNet2DConditionModel):
        return list(network.transformer_blocks)
    return [layer for layer in network.modules() if isinstance(layer, ResnetBlock2D | FeedForward)]
