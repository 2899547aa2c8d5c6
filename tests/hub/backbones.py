"""Tiny models of the real classes in transformers' layout: two towers, and language models that read images."""

import json
import shutil
from pathlib import Path

from tests.hub.captioners import qwen_vl

WORDS = ["a", "red", "dog", "cat", "on", "the", "is"]


def tokenizer(kind: str):
    """A tokenizer of words with the special tokens of CLIP, or of SigLIP."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<start>", "<end>"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    form = "<start> $A <end>" if kind == "clip" else "$A <end>"
    tokens.post_processor = processors.TemplateProcessing(single=form, special_tokens=[("<start>", 1), ("<end>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=tokens, unk_token="<unk>", pad_token="<end>", eos_token="<end>")


def two_towers(kind: str, path: Path) -> None:
    """clip, siglip or siglip2, as the hub holds it: config.json, model.safetensors, and what its processor needs."""
    import torch
    import transformers as hf

    torch.manual_seed(0)
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = vision | {
        "vocab_size": 10,
        "max_position_embeddings": 12,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    vision |= {"image_size": 32, "patch_size": 16}
    if kind == "clip":
        model = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
        images = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
        hf.CLIPProcessor(images, tokenizer("clip")).save_pretrained(path)
    elif kind == "siglip2":
        vision = {**vision, "num_patches": 16}
        del vision["image_size"]
        model = hf.Siglip2Model(hf.Siglip2Config(text_config=text, vision_config=vision))
        hf.Siglip2Processor(hf.Siglip2ImageProcessor(max_num_patches=16), tokenizer("siglip")).save_pretrained(path)
    else:
        model = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision))
        images = hf.SiglipImageProcessor(size={"height": 32, "width": 32})
        hf.SiglipProcessor(images, tokenizer("siglip")).save_pretrained(path)
    model.save_pretrained(path)


def reader(kind: str, directory: Path) -> Path:
    """qwen2_5_vl, qwen2_vl or qwen3_vl, in a directory of that name."""
    first = directory / "qwen2_5_vl"
    qwen_vl(first)
    return first if kind == "qwen2_5_vl" else _sibling(first, directory / kind, kind)


def _sibling(source: Path, directory: Path, kind: str) -> Path:
    """A model of a related class with the same tokenizer and processor."""
    import torch
    import transformers as hf

    shutil.copytree(source, directory)
    config = json.loads((source / "config.json").read_text())
    text = config["text_config"]
    small = {name: text[name] for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                                           "num_attention_heads", "num_key_value_heads")}  # fmt: skip
    ids = {name: config[name] for name in ("image_token_id", "video_token_id", "vision_start_token_id",
                                           "vision_end_token_id")}  # fmt: skip
    if kind == "qwen2_vl":
        small["rope_parameters"] = text["rope_parameters"]
        vision = {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2}
        model = hf.Qwen2VLForConditionalGeneration(hf.Qwen2VLConfig(text_config=small, vision_config=vision, **ids))
    else:
        small |= {"head_dim": 8, "rope_parameters": text["rope_parameters"]}
        vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32,
                  "patch_size": 14, "deepstack_visual_indexes": [0], "num_position_embeddings": 64}  # fmt: skip
        model = hf.Qwen3VLForConditionalGeneration(hf.Qwen3VLConfig(text_config=small, vision_config=vision, **ids))
    torch.manual_seed(0)
    model.save_pretrained(directory)
    return directory
