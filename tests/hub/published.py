"""The repositories of the published stack in small: their lists of files, with tiny models of the same classes.

What a loader reads is real. What stands beside it in the same repository (other formats, other precisions, the safety
checker, cards) is filler of the same names.
"""

import json
from pathlib import Path

CARD = (".gitattributes", "README.md")
CAPTIONER = "Salesforce/blip2-opt-6.7b-coco"
LLM = "Qwen/Qwen1.5-32B-Chat-GPTQ-Int4"
DETECTOR = "IDEA-Research/grounding-dino-tiny"
SEGMENTER = "facebook/sam-vit-huge"
GENERATOR = "stable-diffusion-v1-5/stable-diffusion-v1-5"
VISION = "openai/clip-vit-large-patch14"
CLIP = {
    "ViT-B-32": "timm/vit_base_patch32_clip_224.openai",
    "ViT-L-14": "timm/vit_large_patch14_clip_224.openai",
    "ViT-g-14": "laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
    "ViT-bigG-14": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
}
ROLES = {
    CAPTIONER: "captioner", LLM: "llm", DETECTOR: "detector", SEGMENTER: "segmenter", GENERATOR: "generator",
    VISION: "vision", **dict.fromkeys(CLIP.values(), "clip"),
}  # fmt: skip


def published(directory: Path) -> dict[str, dict[str, bytes]]:
    """Files by repository. directory: where the models are built."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    builders = {
        CAPTIONER: _captioner, LLM: _llm, DETECTOR: _detector, SEGMENTER: _segmenter, GENERATOR: _generator,
        VISION: _vision,
    }  # fmt: skip
    result = {}
    for repository, build in builders.items():
        folder = directory / repository
        folder.mkdir(parents=True)
        build(folder)
        result[repository] = _files(folder)
    _clip(directory / "clip")
    for repository in CLIP.values():
        result[repository] = _files(directory / "clip", repository.startswith("laion/"))
    return result


def _files(folder: Path, laion: bool = False) -> dict[str, bytes]:
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
    more = ("preprocessor_config.json", "pytorch_model.bin") if laion else ()
    return files | {name: filler(name) for name in (*CARD, *more)}


def filler(name: str) -> bytes:
    """Something of the kind that a file of this name holds, and that nobody should ask for."""
    return b"{}\n" if name.endswith(".json") else f"filler of {name}\n".encode() * 400


def _fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(filler(name))


def _in_shards(folder: Path, kind: type, most: str) -> None:
    """The weights in several files with an index, as of models of many gigabytes."""
    model = kind.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size=most)
    assert len(list(folder.glob("model-0*.safetensors"))) > 2


def _before_transformers_5(folder: Path, processor: dict | None) -> None:
    """A processor of its own in preprocessor_config.json, and the tokenizer's tokens in files of their own."""
    (folder / "processor_config.json").unlink()
    if processor is not None:
        (folder / "processor_config.json").write_text(json.dumps(processor))
    if (folder / "tokenizer.json").is_file():
        (folder / "special_tokens_map.json").write_text("{}")


def _captioner(folder: Path) -> None:
    from transformers import Blip2ForConditionalGeneration

    import mini_world.models

    mini_world.models.blip2(folder)
    _in_shards(folder, Blip2ForConditionalGeneration, "400KB")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    _before_transformers_5(folder, {"num_query_tokens": 8, "processor_class": "Blip2Processor"})
    (folder / "added_tokens.json").write_text(json.dumps({"<image>": ids["<image>"]}))
    shards = [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]
    _fill(folder, "vocab.json", "merges.txt", *shards, "pytorch_model.bin.index.json")


def _llm(folder: Path) -> None:
    """Its configuration describes the quantisation in the real one; these weights are not quantised."""
    from transformers import Qwen2ForCausalLM

    import mini_world.models

    mini_world.models.qwen(folder)
    _in_shards(folder, Qwen2ForCausalLM, "800KB")
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    _fill(folder, "LICENSE")


def quantised(files: dict[str, bytes]) -> dict[str, bytes]:
    """The tiny language model with weights of 4 bits by chance, in GPTQ's layout, its description in both places."""
    import torch
    from safetensors.torch import load, save

    group, tensors = 32, {}
    shards = [name for name in files if name.endswith(".safetensors")]
    for key, value in (pair for name in shards for pair in load(files[name]).items()):
        if not (key.endswith("_proj.weight")):
            tensors[key] = value.half()
            continue
        stem, (out, width) = key.removesuffix("weight"), value.shape
        tensors[f"{stem}qweight"] = torch.randint(-(2**31), 2**31 - 1, (width // 8, out), dtype=torch.int32)
        tensors[f"{stem}qzeros"] = torch.full((width // group, out // 8), 0x77777777, dtype=torch.int32)
        tensors[f"{stem}scales"] = torch.full((width // group, out), 0.01, dtype=torch.float16)
        tensors[f"{stem}g_idx"] = torch.arange(width, dtype=torch.int32) // group
    how = {"quant_method": "gptq", "bits": 4, "group_size": group, "desc_act": False, "sym": True, "backend": "torch"}
    config = {**json.loads(files["config.json"]), "quantization_config": how, "dtype": "float16"}
    kept = {name: content for name, content in files.items() if name not in (*shards, "model.safetensors.index.json")}
    return kept | {
        "config.json": json.dumps(config).encode(),
        "quantize_config.json": json.dumps(how).encode(),
        "model.safetensors": save(tensors, {"format": "pt"}),
    }


def _detector(folder: Path) -> None:
    import mini_world.models

    mini_world.models.grounding_dino(folder)
    _before_transformers_5(folder, None)


def _segmenter(folder: Path) -> None:
    import mini_world.models

    mini_world.models.sam(folder)
    _before_transformers_5(folder, None)
    _fill(folder, "pytorch_model.bin", "tf_model.h5")


def _generator(folder: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPImageProcessor

    import mini_world.models

    mini_world.models.BUILDERS["sd"](folder)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    for part in ("unet", "vae", "text_encoder"):
        getattr(pipeline, part).half().save_pretrained(folder / part, variant="fp16")
        stem = "pytorch_model" if part == "text_encoder" else "diffusion_pytorch_model"
        _fill(folder / part, f"{stem}.bin", f"{stem}.fp16.bin")
    CLIPImageProcessor().save_pretrained(folder / "feature_extractor")
    index = json.loads((folder / "model_index.json").read_text())
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "special_tokens_map.json").write_text("{}")
    checker = (
        "config.json",
        "model.safetensors",
        "model.fp16.safetensors",
        "pytorch_model.bin",
        "pytorch_model.fp16.bin",
    )
    _fill(folder / "safety_checker", *checker)
    unet = ("diffusion_pytorch_model.non_ema.safetensors", "diffusion_pytorch_model.non_ema.bin")
    _fill(folder / "unet", *unet)
    single = [f"v1-5-pruned{more}.{end}" for more in ("", "-emaonly") for end in ("safetensors", "ckpt")]
    _fill(folder, *single, "v1-inference.yaml")


def _vision(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 16, "num_attention_heads": 2}
    CLIPModel(
        CLIPConfig(text_config=sizes, vision_config={**sizes, "image_size": 32, "patch_size": 8})
    ).save_pretrained(folder)
    tokenizer = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
    _fill(folder, *tokenizer, "preprocessor_config.json", "flax_model.msgpack", "tf_model.h5", "pytorch_model.bin")


def _clip(folder: Path) -> None:
    import mini_world.models

    mini_world.models.clip(folder)
    tokenizer = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
    _fill(folder, *tokenizer, "config.json", "model.safetensors", "open_clip_pytorch_model.bin")
