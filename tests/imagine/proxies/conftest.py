"""A Stable Diffusion 1 topology small enough for a CPU: the real classes, random weights, saved to disk."""

import importlib.util
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModel
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ipcir_steps.core.files import write_jsonl
from ipcir_steps.imagine.proxies.elite import GlobalMapper, LocalMapper
from ipcir_steps.imagine.proxies.migc import MIGC, MIGCPlus

TEXT_WIDTH = 24
torch.set_num_threads(1)  # the models are tiny; more threads only wait for each other
CHANNELS = (16, 16, 32, 32)


@pytest.fixture(scope="session")
def explicit():
    """dev/benchmarks/explicit_maps.py: the layout generator written out, in any precision."""
    path = Path(__file__).parents[3] / "dev" / "benchmarks" / "explicit_maps.py"
    spec = importlib.util.spec_from_file_location("explicit_maps", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny_tokenizer(directory):
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters)]
    merges = [("p", "h"), ("ph", "o"), ("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>")]
    tokens = [*words, *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (directory / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    return CLIPTokenizer.from_pretrained(directory, model_max_length=77)


def tiny_stable_diffusion(directory, channels=CHANNELS, heads=4):
    """Save and return a StableDiffusionPipeline with the block layout of SD 1.x."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(directory.parent / f"{directory.name}-tokenizer")
    text_config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=2,
        pad_token_id=1,
    )
    cross, plain = "CrossAttnDownBlock2D", "DownBlock2D"
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=channels,
        layers_per_block=2,
        down_block_types=(cross, cross, cross, plain),
        up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=heads,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.18215,
    )
    scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text_config),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(directory)
    return pipeline


@pytest.fixture(scope="session")
def stable_diffusion(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "sd"
    tiny_stable_diffusion(directory)
    return directory


@pytest.fixture
def world(tmp_path):
    """Three queries with layouts; the third has none."""
    (tmp_path / "images").mkdir()
    Image.linear_gradient("L").convert("RGB").resize((64, 48)).save(tmp_path / "images" / "a.png")
    queries = [
        {"query_id": f"q{n}", "reference": "a", "captions": ["with a dog instead"], "targets": ["a"]} for n in range(3)
    ]
    cat = {"label": "cat", "category": "cat", "description": "a cat", "box": [0.1, 0.2, 0.6, 0.9], "modality": "image"}
    dog = {"label": "dog", "category": "dog", "description": "a dog", "box": [0.4, 0.1, 0.9, 0.8], "modality": "text"}
    layouts = [{"query_id": f"q{n}", "scene": "a garden", "instances": [cat, dog][: n + 1]} for n in range(2)]
    write_jsonl(tmp_path / "queries.jsonl", queries)
    write_jsonl(tmp_path / "layouts.jsonl", layouts)
    write_jsonl(tmp_path / "references.jsonl", [{"name": "a", "path": "images/a.png"}])
    return tmp_path


def numbers(name, *shape):
    """Uniform numbers in [-1, 1) that depend on a name only; the published code was run on the same."""
    source = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return torch.from_numpy((source.random(shape) * 2 - 1).astype(np.float32))


def fill(module, name=""):
    """Replace all weights by such numbers, scaled by the fan-in."""
    with torch.no_grad():
        for key, value in module.state_dict().items():
            scale = (3 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.5
            shift = 1 if value.ndim == 1 and key.endswith("weight") else 0
            value.copy_(numbers(name + key, *value.shape) * scale + shift)
    return module


@pytest.fixture(scope="session", name="numbers")
def _numbers():
    return numbers


@pytest.fixture(scope="session", name="fill")
def _fill():
    return fill


PUBLISHED_BLOCKS = {  # name in MIGC_SD14.ckpt: name in MIGC++_SD14.ckpt
    "middle_block.1": "mid_block.attentions.0",
    "output_blocks.3.1": "up_blocks.1.attentions.0",
    "output_blocks.4.1": "up_blocks.1.attentions.1",
    "output_blocks.5.1": "up_blocks.1.attentions.2",
}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory, stable_diffusion):
    """Random checkpoints in the published key layouts, and the vision model that ELITE reads."""
    directory = tmp_path_factory.mktemp("checkpoints")
    unet = UNet2DConditionModel.from_pretrained(stable_diffusion, subfolder="unet")
    migc, plus = {}, {}
    for old, new in PUBLISHED_BLOCKS.items():
        path = f"{new}.transformer_blocks.0.attn2"
        channels = unet.get_submodule(path).to_q.in_features
        for key, value in fill(MIGC(channels, context_dim=TEXT_WIDTH), old).state_dict().items():
            migc[f"model.diffusion_model.{old}.transformer_blocks.0.attn2.migc.{key}"] = value
        for key, value in fill(MIGCPlus(channels, context_dim=TEXT_WIDTH), new).state_dict().items():
            plus[f"{path}.processor.migc.{key}"] = value
    torch.save({"state_dict": migc}, directory / "migc.ckpt")
    torch.save(plus, directory / "migc++.ckpt")
    for kind, name in ((GlobalMapper, "global"), (LocalMapper, "local")):
        values = fill(kind(16, TEXT_WIDTH, 32), name).state_dict()
        for path, module in unet.named_modules():
            if path.endswith("attn2"):
                for part in ("to_k", "to_v"):
                    key = f"{path.replace('.', '_')}_{part}.weight"
                    values[key] = numbers(name + key, *module.to_k.weight.shape) * 0.3
        torch.save(values, directory / f"{name}.pt")
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=16, num_attention_heads=2, image_size=32, patch_size=8
    )
    torch.manual_seed(1)
    CLIPVisionModel(vision).save_pretrained(directory / "vision")
    return directory
