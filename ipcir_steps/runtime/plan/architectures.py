"""What a model is made of, known before it is fetched: its configs, its classes, and the numbers of its weights.

Configs come from the model's own directory where there is one, else from ``architectures/``, which holds those of the
published models under their hub ids. Models are built on the meta device: shapes without memory.
"""

import dataclasses
import functools
import importlib
import json
from pathlib import Path

SHIPPED = Path(__file__).with_name("architectures")
# Config files of a model's directory, by part; the first that is there counts.
FILES = {
    "generator": {"unet": "unet/config.json", "vae": "vae/config.json", "text_encoder": "text_encoder/config.json"},
    "clip": {"model": "open_clip_config.json"},
}

# Of a pipeline whose network is a transformer; "index" tells which pipeline.
FLOW = {
    "index": "model_index.json", "transformer": "transformer/config.json", "vae": "vae/config.json",
    "text_encoder": "text_encoder/config.json", "text_encoder_2": "text_encoder_2/config.json",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Architecture:
    """parts: the config of each part; parameters: how many numbers each has; stored: in which format they are
    published, and variant: in which other one too; size: bytes of the files, where they do not follow from these. Only
    parts are told of a model that was read from a directory."""

    parts: dict[str, dict]
    parameters: dict[str, int] = dataclasses.field(default_factory=dict)
    stored: str | None = None
    variant: str | None = None
    size: int | None = None


@functools.cache
def published() -> dict[str, Architecture]:
    """By hub id, in lower case."""
    known = {}
    for path in sorted(SHIPPED.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        entry = Architecture(
            content["parts"], content["parameters"], content["stored"], content.get("variant"), content.get("bytes")
        )
        known.update((source.lower(), entry) for source in content["sources"])
    return known


def find(role: str, source: str, directory: str | Path | None = None) -> Architecture | None:
    """The architecture of a model: of ``directory`` or of a local ``source``, else of the published hub id.

    role: what the model is used as (``captioner``, ``generator``, ``clip``, …). None where neither is known.
    """
    for place in (directory, source):
        if place and Path(place).is_dir() and (parts := read_parts(role, Path(place))):
            return Architecture(parts)
    return published().get(source.lower())


def files_of(role: str) -> dict[str, str]:
    return FILES.get(role, {"model": "config.json"})


def absent(role: str, directory: Path) -> list[str]:
    """The config files of a role that a directory lacks."""
    return [name for name in files_of(role).values() if not (directory / name).is_file()]


def read_parts(role: str, directory: Path) -> dict[str, dict]:
    """The configs that lie in a model's directory; empty unless all of them do."""
    if role == "generator" and (directory / FLOW["transformer"]).is_file():
        found = {part: directory / name for part, name in FLOW.items()}
        return {part: json.loads(path.read_text(encoding="utf-8")) for part, path in found.items() if path.is_file()}
    if role == "clip" and absent(role, directory) and (directory / "config.json").is_file():  # transformers' layout
        return {"model": json.loads((directory / "config.json").read_text(encoding="utf-8"))}
    if absent(role, directory):
        return {}
    files = files_of(role)
    parts = {part: json.loads((directory / name).read_text(encoding="utf-8")) for part, name in files.items()}
    return {"model": parts["model"]["model_cfg"]} if role == "clip" else parts


CAPTIONERS = {"blip": "blip"}  # other kinds than BLIP-2, by the type of the model
CLASSES = {
    ("blip", "model"): "transformers:BlipForConditionalGeneration",
    ("captioner", "model"): "transformers:Blip2ForConditionalGeneration",
    ("detector", "model"): "transformers:GroundingDinoForObjectDetection",
    ("segmenter", "model"): "transformers:SamModel",
    ("vision", "model"): "transformers:CLIPVisionModel",
    ("generator", "text_encoder"): "transformers:CLIPTextModel",
    ("generator", "unet"): "diffusers:UNet2DConditionModel",
    ("generator", "text_encoder_2"): "transformers:T5EncoderModel",
    ("generator", "vae"): "diffusers:AutoencoderKL",
    ("decoder", "model"): "diffusers:AutoencoderTiny",
}


def build(role: str, part: str, config: dict):
    """The real class on the meta device, in evaluation mode, without gradients."""
    import torch

    with torch.device("meta"):
        model = _build(role, part, config)
    return model.to("meta").eval().requires_grad_(False)  # a few parameters are made elsewhere in spite of the device


def _build(role: str, part: str, config: dict):
    if role == "clip":
        import open_clip

        return open_clip.CLIP(**config)
    import transformers

    if part == "text" or (part == "text_encoder" and "text_config" in config):  # of Qwen2.5-VL: it is a Qwen2
        return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**_rest(config["text_config"])))
    if role == "llm" or (part == "text_encoder" and config.get("model_type") == "qwen3"):  # FLUX.2 klein's
        config = {key: value for key, value in config.items() if key != "quantization_config"}
        own = transformers.AutoConfig.for_model(config["model_type"], **_rest(config))
        return transformers.AutoModelForCausalLM.from_config(own)
    if part == "transformer" or (part == "vae" and "_class_name" in config):
        module, name = "diffusers", config["_class_name"]
    else:
        module, name = CLASSES[CAPTIONERS.get(config.get("model_type"), role), part].split(":")
    kind = getattr(importlib.import_module(module), name)
    if module == "diffusers":
        return kind.from_config({key: value for key, value in config.items() if not key.startswith("_")})
    own = config.get("vision_config", config) if role == "vision" else config  # a CLIP of which one tower is read
    return kind(kind.config_class(**_rest(own)))


def _rest(config: dict) -> dict:
    return {key: value for key, value in config.items() if key not in ("model_type", "architectures", "torch_dtype")}
