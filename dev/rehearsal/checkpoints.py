"""Checkpoints with random weights: size, file layout, key layout and number format of the published ones."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import torch

from dev.rehearsal import vocabularies
from dev.rehearsal.settings import BACKBONES, SMALL
from dev.rehearsal.weights import Noise, draw, tensors, write, write_model
from ipcir_steps.runtime.plan.architectures import build, find

CLIP_STATISTICS = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
# Whose architecture each model has.
SOURCES = {
    "captioner": "Salesforce/blip2-opt-6.7b-coco",
    "llm": "Qwen/Qwen1.5-32B-Chat",
    "detector": "IDEA-Research/grounding-dino-tiny",
    "segmenter": "facebook/sam-vit-huge",
    "generator": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "vision": "openai/clip-vit-large-patch14",
}


def parts(role: str, source: str) -> dict[str, dict]:
    return find(role, source).parts


def save(directory: Path, model, dtype: torch.dtype, stem: str = "model") -> None:
    """Config and weights, as ``save_pretrained`` lays them out."""
    model.config.save_pretrained(directory) if hasattr(model.config, "save_pretrained") else model.save_config(
        directory
    )
    write_model(directory, model, dtype, Noise(), stem)


def captioner(directory: Path, dtype: torch.dtype) -> None:
    from transformers import Blip2Processor, BlipImageProcessor, GenerationConfig

    model = build("captioner", "model", parts("captioner", SOURCES["captioner"])["model"])
    side = model.config.vision_config.image_size
    images = BlipImageProcessor(size={"height": side, "width": side}, **CLIP_STATISTICS)
    tokenizer = vocabularies.opt(model.config.image_token_index)
    processor = Blip2Processor(images, tokenizer, num_query_tokens=model.config.num_query_tokens)
    save(directory, model, dtype)
    GenerationConfig(bos_token_id=2, eos_token_id=50118, pad_token_id=1).save_pretrained(directory)
    processor.save_pretrained(directory)
    images.save_pretrained(directory)


def llm(directory: Path, dtype: torch.dtype, layers: int) -> None:
    """Published with 64 layers, in 4 bits (19 GB)."""
    from transformers import GenerationConfig

    config = parts("llm", SOURCES["llm"])["model"]
    model = build("llm", "model", {**config, "num_hidden_layers": layers})
    save(directory, model, dtype)
    vocabularies.qwen(directory, 151646)
    end, pad = 151645, 151643
    GenerationConfig(eos_token_id=[end, pad], pad_token_id=pad).save_pretrained(directory)


def detector(directory: Path, dtype: torch.dtype) -> None:
    from transformers import GroundingDinoImageProcessor, GroundingDinoProcessor

    model = build("detector", "model", parts("detector", SOURCES["detector"])["model"])
    save(directory, model, dtype)
    images = GroundingDinoImageProcessor()
    GroundingDinoProcessor(images, vocabularies.bert(model.config.text_config.vocab_size)).save_pretrained(directory)
    images.save_pretrained(directory)


def segmenter(directory: Path, dtype: torch.dtype) -> None:
    from transformers import SamImageProcessor, SamProcessor

    save(directory, build("segmenter", "model", parts("segmenter", SOURCES["segmenter"])["model"]), dtype)
    SamProcessor(SamImageProcessor()).save_pretrained(directory)
    SamImageProcessor().save_pretrained(directory)


def generator(directory: Path, dtype: torch.dtype) -> None:
    from diffusers import PNDMScheduler

    known = parts("generator", SOURCES["generator"])
    for part, stem in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        save(directory / part, build("generator", part, known[part]), dtype, stem)
    vocabularies.clip(directory / "tokenizer")
    PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    ).save_pretrained(directory / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (directory / "model_index.json").write_text(json.dumps(index, indent=1))


def vision(directory: Path, dtype: torch.dtype) -> None:
    """Both towers, as published; the step reads one."""
    from transformers import CLIPConfig, CLIPModel

    with torch.device("meta"):
        model = CLIPModel(CLIPConfig(**parts("vision", SOURCES["vision"])["model"]))
    save(directory, model, dtype)


def _unet():
    return build("generator", "unet", parts("generator", SOURCES["generator"])["unet"])


def _block(unet, kind):
    from ipcir_steps.imagine.proxies.checkpoints import BLOCKS, LAYER

    attention = unet.get_submodule(BLOCKS[0] + LAYER)
    with torch.device("meta"):
        return kind(attention.to_q.in_features, context_dim=attention.to_k.in_features)


def migc(directory: Path, dtype: torch.dtype) -> None:
    """``MIGC_SD14.ckpt``: the blocks below ``state_dict``, named as in the original Stable Diffusion code."""
    from ipcir_steps.imagine.proxies.migc import MIGC

    heads = ["middle_block.1", *(f"output_blocks.{number}.1" for number in (3, 4, 5))]
    noise, block = Noise(), _block(_unet(), MIGC)
    values = {}
    for head in heads:
        drawn = draw(tensors(block), dtype, noise)
        stem = f"model.diffusion_model.{head}.transformer_blocks.0.attn2.migc."
        values.update({stem + key: value for key, value in drawn.items()})
    directory.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": values}, directory / "MIGC_SD14.ckpt")


def migc_plus(directory: Path, dtype: torch.dtype) -> None:
    """``MIGC++_SD14.ckpt``: flat, named as in diffusers."""
    from ipcir_steps.imagine.proxies.checkpoints import BLOCKS, LAYER
    from ipcir_steps.imagine.proxies.migc import MIGCPlus

    noise, block = Noise(), _block(_unet(), MIGCPlus)
    values = {}
    for name in BLOCKS:
        drawn = draw(tensors(block), dtype, noise)
        drawn["gamma"] = torch.full((1,), 0.5, dtype=dtype)
        values.update({f"{name}{LAYER}.processor.migc.{key}": value for key, value in drawn.items()})
    directory.mkdir(parents=True, exist_ok=True)
    torch.save(values, directory / "MIGC++_SD14.ckpt")


def _mapper(file: Path, kind: str, dtype: torch.dtype) -> None:
    from ipcir_steps.imagine.proxies import elite

    noise = Noise()
    with torch.device("meta"):
        mapper = getattr(elite, kind)()
    values = draw(tensors(mapper), dtype, noise)
    for name, module in _unet().named_modules():
        if name.endswith("attn2"):
            for part in ("to_k", "to_v"):
                shape = {"weight": getattr(module, part).weight.shape}
                values[f"{name.replace('.', '_')}_{part}.weight"] = draw(shape, dtype, noise)["weight"]
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(values, file)


def elite_global(directory: Path, dtype: torch.dtype) -> None:
    _mapper(directory / "global_mapper.pt", "GlobalMapper", dtype)


def elite_local(directory: Path, dtype: torch.dtype) -> None:
    _mapper(directory / "local_mapper.pt", "LocalMapper", dtype)


def clip_config(name: str) -> dict:
    """Of a backbone, as open_clip has it."""
    return parts("clip", BACKBONES[name])["model"] if name in BACKBONES else SMALL


def clip(directory: Path, dtype: torch.dtype, config: dict) -> None:
    """One file in open_clip's layout."""
    statistics = {"mean": CLIP_STATISTICS["image_mean"], "std": CLIP_STATISTICS["image_std"]}
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_cfg": config, "preprocess_cfg": statistics}, indent=1)
    (directory / "open_clip_config.json").write_text(text)
    shapes = tensors(build("clip", "model", config))
    write(directory / "open_clip_model.safetensors", shapes, dtype, Noise())


WRITERS: dict[str, Callable] = {
    "captioner": captioner,
    "llm": llm,
    "detector": detector,
    "segmenter": segmenter,
    "generator": generator,
    "vision": vision,
    "migc": migc,
    "migc_plus": migc_plus,
    "elite_global": elite_global,
    "elite_local": elite_local,
}


def size(directory: Path) -> int:
    """Bytes on disk."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def count(model) -> int:
    """Numbers that a checkpoint of the model holds."""
    return sum(math.prod(shape) for shape in tensors(model).values())
