"""Published key layouts load; damaged or foreign files are refused with a message that names what is wrong."""

import argparse
import collections
import pickle

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel, CLIPVisionModel

from ipcir_steps.core.checkpoints import read_checkpoint
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.pretrained import load_pretrained
from ipcir_steps.imagine.proxies.checkpoints import install, load_migc
from ipcir_steps.imagine.proxies.elite import load_elite

KEY = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.migc."


@pytest.fixture(scope="module")
def unet(stable_diffusion):
    return UNet2DConditionModel.from_pretrained(stable_diffusion, subfolder="unet")


@pytest.mark.parametrize("kind", ["migc", "migc++"])
def test_every_tensor_arrives(unet, checkpoints, kind):
    load_migc(unet, checkpoints / f"{kind}.ckpt")
    values = read_checkpoint(checkpoints / f"{kind}.ckpt")
    processors = [p for p in unet.attn_processors.values() if getattr(p, "migc", None) is not None]
    assert len(processors) == 4
    assert sum(len(p.migc.state_dict()) for p in processors) == len(values)
    middle = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2").processor.migc
    key = next(key for key in values if "mid" in key and key.endswith("ea.to_q.weight"))
    assert torch.equal(middle.ea.to_q.weight, values[key])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_migc_as_its_training_saves_it(unet, checkpoints, tmp_path, dtype):
    """A latent-diffusion training: counters, optimizer, learning rate of a cosine schedule, options."""
    values = {key: value.to(dtype) for key, value in read_checkpoint(checkpoints / "migc.ckpt").items()}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=1e-4)
    optimizer.param_groups[0]["lr"] = np.float64(5e-5)
    extras = {"epoch": np.int64(200), "global_step": 10**6, "optimizer_states": [optimizer.state_dict()]}
    extras |= {"lr_schedulers": [], "hyper_parameters": argparse.Namespace(base_learning_rate=1e-4)}
    torch.save({**extras, "state_dict": values}, tmp_path / "migc.ckpt")
    load_migc(unet, tmp_path / "migc.ckpt")
    loaded = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2").processor.migc
    assert torch.equal(loaded.ea.to_q.weight, values[KEY + "ea.to_q.weight"].float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_elite_as_its_training_saves_it(unet, checkpoints, tmp_path, dtype):
    """The bare state of a module, an ordered dictionary with versions; from several devices with a prefix."""
    install(unet)
    vision = CLIPVisionModel.from_pretrained(checkpoints / "vision")
    for name, prefix in (("global", "module."), ("local", "")):
        values = read_checkpoint(checkpoints / f"{name}.pt")
        state = collections.OrderedDict((prefix + key, value.to(dtype)) for key, value in values.items())
        state._metadata = collections.OrderedDict({"": {"version": 1}})
        torch.save(state, tmp_path / f"{name}.pt")
    elite = load_elite(unet, tmp_path / "global.pt", tmp_path / "local.pt", vision)
    assert torch.equal(elite.patches.mapping_4[6].weight, values["mapping_4.6.weight"].to(dtype).float())


def damage(values, kind):
    if kind == "missing key":
        del values[KEY + "norm.bias"]
    elif kind == "wrong shape":
        values[KEY + "norm.bias"] = torch.zeros(7)
    elif kind == "foreign key":
        values[KEY + "extra.weight"] = torch.zeros(1)
    elif kind == "missing block":
        for key in [key for key in values if "output_blocks.4" in key]:
            del values[key]
    elif kind == "not MIGC":
        values["conv_in.weight"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing key", "mid_block.attentions.0: missing norm.bias"),
        ("wrong shape", r"norm.bias has shape \[7\] instead of \[32\]"),
        ("foreign key", "unexpected extra.weight"),
        ("missing block", "missing blocks: up_blocks.1.attentions.1"),
        ("not MIGC", "unexpected key 'conv_in.weight'"),
    ],
)
def test_damaged_checkpoints(unet, checkpoints, tmp_path, kind, message):
    values = read_checkpoint(checkpoints / "migc.ckpt")
    damage(values, kind)
    torch.save({"state_dict": values}, tmp_path / "migc.ckpt")
    with pytest.raises(ModelError, match=message):
        load_migc(unet, tmp_path / "migc.ckpt")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was executed",))


def test_pickled_objects_are_refused_unexecuted(unet, tmp_path):
    torch.save({"state_dict": {KEY + "norm.bias": Bomb()}}, tmp_path / "bomb.ckpt")
    with pytest.raises(ModelError, match=r"bomb.ckpt holds an object that could run code"):
        load_migc(unet, tmp_path / "bomb.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match=r"plain.ckpt"):
        load_migc(unet, tmp_path / "plain.ckpt")


def test_truncated_and_absent_files(unet, checkpoints, tmp_path):
    (tmp_path / "half.ckpt").write_bytes((checkpoints / "migc.ckpt").read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"half.ckpt is damaged"):
        load_migc(unet, tmp_path / "half.ckpt")
    with pytest.raises(ModelError, match="does not exist"):
        load_migc(unet, tmp_path / "nothing.ckpt")


def test_wrong_base_model(checkpoints):
    other = UNet2DConditionModel(
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=24,
        norm_num_groups=8,
    )
    with pytest.raises(ModelError, match=r"has no up_blocks.1.attentions.0; it is not Stable Diffusion 1"):
        load_migc(other, checkpoints / "migc.ckpt")


def test_base_model_of_another_text_width(stable_diffusion, checkpoints):
    """As Stable Diffusion 2 has: the same blocks, another text encoder."""
    config = UNet2DConditionModel.load_config(stable_diffusion, subfolder="unet")
    other = UNet2DConditionModel.from_config({**config, "cross_attention_dim": 32})
    with pytest.raises(
        ModelError, match=r"ea.to_k.weight has shape \[32, 24\] instead of \[32, 32\].*Is the base model"
    ):
        load_migc(other, checkpoints / "migc.ckpt")


def test_elite_needs_every_projection(unet, checkpoints, tmp_path):
    install(unet)
    vision = CLIPVisionModel.from_pretrained(checkpoints / "vision")
    values = torch.load(checkpoints / "local.pt")
    key = "mid_block_attentions_0_transformer_blocks_0_attn2_to_v.weight"
    del values[key]
    torch.save(values, tmp_path / "local.pt")
    with pytest.raises(ModelError, match=f"missing {key}"):
        load_elite(unet, checkpoints / "global.pt", tmp_path / "local.pt", vision)
    with pytest.raises(ModelError, match="is not an ELITE mapper"):
        load_elite(unet, checkpoints / "migc.ckpt", checkpoints / "local.pt", vision)


def test_the_vision_half_of_an_early_clip_file(tmp_path):
    """openai/clip-vit-large-patch14 holds both halves, with position ids, and is read as its vision half."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(text_config=sizes, vision_config={**sizes, "image_size": 32, "patch_size": 8})
    whole = CLIPModel(config)
    whole.save_pretrained(tmp_path)
    values = load_file(tmp_path / "model.safetensors")
    positions = {"vision_model": 17, "text_model": 77}
    values |= {f"{half}.embeddings.position_ids": torch.arange(count)[None] for half, count in positions.items()}
    save_file(values, tmp_path / "model.safetensors", metadata={"format": "pt"})
    vision = load_pretrained(CLIPVisionModel, tmp_path, "CLIP vision model")
    pixels = torch.ones(1, 3, 32, 32)
    assert torch.equal(vision(pixels).last_hidden_state, whole.vision_model(pixels).last_hidden_state)
    del values["vision_model.encoder.layers.1.mlp.fc1.weight"]
    save_file(values, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="1 of the weights of a CLIP vision model are not in it"):
        load_pretrained(CLIPVisionModel, tmp_path, "CLIP vision model")


def test_the_building_blocks_are_importable_from_the_room():
    from ipcir_steps.imagine import proxies

    for name in proxies.BLOCKS:
        assert getattr(proxies, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        proxies.nothing  # noqa: B018
