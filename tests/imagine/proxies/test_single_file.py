"""A base model as one safetensors file in the original Stable Diffusion key layout."""

import re
import shutil

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.generator import Task
from ipcir_steps.imagine.proxies.text_to_image import TextToImage

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_key(key):
    for new, old in TOP.items():
        if key.startswith(new + "."):
            return old + key[len(new) :]
    rest = key.partition("resnets." if "resnets." in key else "attentions.")[2]
    if "resnets." in key:
        number, name = rest.split(".", 1)
        stem, suffix = name.rsplit(".", 1)
        rest, slot = f"{RESNET[stem]}.{suffix}", 0
    elif "attentions." in key:
        number, rest = rest.split(".", 1)
        slot = 1
    block = re.match(r"(down|mid|up)_block(?:s\.(\d))?", key)
    i = int(block[2] or 0)
    if "samplers" in key:
        suffix = key.rsplit(".", 1)[1]
        return (
            f"input_blocks.{3 * i + 3}.0.op.{suffix}"
            if block[1] == "down"
            else f"output_blocks.{3 * i + 2}.{1 if i == 0 else 2}.conv.{suffix}"
        )
    j = int(number)
    if block[1] == "mid":
        return f"middle_block.{1 if slot else 2 * j}.{rest}"
    return (
        f"input_blocks.{3 * i + j + 1}.{slot}.{rest}"
        if block[1] == "down"
        else f"output_blocks.{3 * i + j}.{slot}.{rest}"
    )


def vae_key(key):
    key = re.sub(r"encoder\.down_blocks\.(\d)\.resnets", r"encoder.down.\1.block", key)
    key = re.sub(r"encoder\.down_blocks\.(\d)\.downsamplers\.0", r"encoder.down.\1.downsample", key)
    key = re.sub(r"decoder\.up_blocks\.(\d)\.resnets", lambda m: f"decoder.up.{3 - int(m[1])}.block", key)
    key = re.sub(r"decoder\.up_blocks\.(\d)\.upsamplers\.0", lambda m: f"decoder.up.{3 - int(m[1])}.upsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    if "mid_block.attentions" in key:
        stem, suffix = key.split("attentions.0.")[1].rsplit(".", 1)
        return key.split("mid_block")[0] + f"mid.attn_1.{ATTENTION[stem]}.{suffix}"
    return key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


@pytest.fixture
def single_file(stable_diffusion, tmp_path):
    base = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
    values = {"model.diffusion_model." + unet_key(k): v for k, v in base.unet.state_dict().items()}
    for key, value in base.vae.state_dict().items():
        key = vae_key(key)
        linear = ".attn_1." in key and key.endswith("weight") and ".norm." not in key
        values["first_stage_model." + key] = value[..., None, None] if linear else value
    for key, value in base.text_encoder.state_dict().items():
        name = key if key.startswith("text_model.") else f"text_model.{key}"
        values[f"cond_stage_model.transformer.{name}"] = value
    path = tmp_path / "base.safetensors"
    save_file({key: value.clone().contiguous() for key, value in values.items()}, path)
    shutil.copytree(stable_diffusion, tmp_path / "configs", ignore=shutil.ignore_patterns("*.safetensors"))
    return path


def test_same_images_as_the_directory(stable_diffusion, single_file):
    settings = {
        "width": 64,
        "height": 64,
        "steps": 2,
        "device": "cpu",
        "base_config": str(single_file.parent / "configs"),
    }
    task, drawn = Task("q", "", "a garden with a cat", (), (1, 2)), []
    for path in (stable_diffusion, single_file):
        images, _ = TextToImage(Proxies(**settings), {"generator": load_manifest(path)}).draw(task)
        drawn.append(np.stack([np.asarray(image, int) for image in images]))
    assert np.abs(drawn[0] - drawn[1]).max() <= 1


def test_a_single_file_needs_its_configs(single_file):
    with pytest.raises(ModelError, match="set proxies.base_config"):
        TextToImage(Proxies(device="cpu"), {"generator": load_manifest(single_file)})
