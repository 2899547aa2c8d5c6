"""Low-rank updates: what they change, and how they lie on disk."""

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from mini_world import diffusion, lora


def test_an_update_is_two_thin_layers_beside_each_layer():
    unet = diffusion.unet()
    update = lora.LoRA(unet, rank=3)
    before = {name: unet.get_parameter(name) for name in update.updated(unet)}
    assert all(torch.equal(value, before[name]) for name, value in update.updated(unet).items())  # none at first
    with torch.no_grad():
        for value in update.up.values():
            value.normal_()
    weights = update.updated(unet)
    for name, size in (("mid_block.resnets.0.conv1", 4), ("mid_block.attentions.0.proj_in", 1)):
        layer, key = unet.get_submodule(name), name.replace(".", "-")
        down, up = update.down[key], update.up[key]
        x = torch.randn(2, 96, size, size)
        wide = F.conv2d(F.conv2d(x, down, padding=layer.padding), up)
        torch.testing.assert_close(
            F.conv2d(x, weights[f"{name}.weight"], layer.bias, padding=layer.padding), layer(x) + wide
        )
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    x, key = torch.randn(5, 64), name.replace(".", "-")
    found = x @ weights[f"{name}.weight"].T
    torch.testing.assert_close(found, unet.get_submodule(name)(x) + x @ update.down[key].T @ update.up[key].T)


def test_attention_and_residual_layers_are_updated_and_ends_are_not():
    names = {key.replace("-", ".") for key in lora.LoRA(diffusion.unet()).down}
    attention = [name for name in names if "attn" in name]
    assert len(attention) == 6 * 2 * 4 and not {"conv_in", "conv_out", "time_embedding.linear_1"} & names
    assert {"down_blocks.0.resnets.0.time_emb_proj", "up_blocks.0.upsamplers.0.conv"} <= names


def test_files_are_as_diffusers_writes_them(tmp_path):
    update = lora.LoRA(diffusion.unet())
    update.save(tmp_path)
    values = load_file(tmp_path / lora.FILE)
    assert len(values) == 2 * len(update.down)
    assert values["unet.mid_block.resnets.0.conv1.lora_A.weight"].shape == (lora.RANK, 96, 3, 3)
    assert values["unet.mid_block.resnets.0.conv1.lora_B.weight"].shape == (96, lora.RANK, 1, 1)
