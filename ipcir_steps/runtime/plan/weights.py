"""How large models are, without torch: the files that were fetched, else what was published."""

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path

from ipcir_steps.config import Resolved
from ipcir_steps.config.generation import generator_roles
from ipcir_steps.core import paths
from ipcir_steps.core.errors import IPCIRError
from ipcir_steps.core.files import read_json
from ipcir_steps.runtime.plan.architectures import Architecture, find

SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf"}
ITEM = {"float32": 4, "float16": 2, "bfloat16": 2}
NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Published files that are on no hub, by role: bytes, float32. Made of the classes that read them. Of LoRA weights and
# of a small decoder what they are for Stable Diffusion 1.x: rank 64 in every layer, TAESD.
BY_HAND = {
    "migc": 229_519_499, "elite_global": 192_338_867, "elite_local": 192_338_729, "lora": 269_000_000,
    "decoder": 9_800_000,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Weights:
    """stored: bytes of the files; numbers: how many weights; dtype: in which format they are stored; how: what this
    was read from. quantised: the numbers stay as they are stored, whatever the dtype of the step."""

    stored: int
    numbers: int
    dtype: str
    how: str
    quantised: bool = False

    def loaded(self, dtype: str) -> int:
        """Bytes of the weights in another number format."""
        return self.stored if self.quantised else self.numbers * ITEM[dtype]


def weights(
    role: str, source: str, manifest: Path | None = None, dtype: str | None = None, tower: str | None = None
) -> Weights | None:
    """Of one model; None where it is neither on disk nor one of the published.

    role: ``captioner``, ``clip``, …; manifest: what ``ipcir models`` wrote, when it did; dtype: in which its step reads
    it, where the repository has files in half precision too; tower: the half of a CLIP
    model, ``image`` or ``text``, that its step loads.
    """
    place, files = fetched(source, manifest)
    known = find(role, source, place)
    if files:
        whole = of_files(role, source, place, files)
        in_parts = all(path.suffix == ".safetensors" for path in files)  # open_clip reads others whole
        return of_tower(whole, known, tower) if in_parts else whole
    if known is not None and known.parameters:
        return of_tower(of_architecture(known, dtype), known, tower)
    if role in BY_HAND:
        return Weights(BY_HAND[role], BY_HAND[role] // 4, "float32", "published size")
    return None


def of_tower(whole: Weights, known: Architecture | None, tower: str | None) -> Weights:
    """Of a model in open_clip's layout the weights of one tower; of any other all."""
    text = (known.parts["model"].get("text_cfg") or {}) if known and tower else {}
    if not {"width", "layers", "vocab_size"} <= text.keys():
        return whole
    width = text["width"]
    numbers = width * (text["vocab_size"] + text.get("context_length", 77) + known.parts["model"]["embed_dim"])
    share = (numbers + 12 * text["layers"] * width**2) / whole.numbers
    share = share if tower == "text" else 1 - share
    return dataclasses.replace(whole, stored=int(whole.stored * share), numbers=int(whole.numbers * share))


def fetched(source: str, manifest: Path | None) -> tuple[Path | None, list[Path]]:
    """(directory or file, its weight files) of a model on disk."""
    place, names = Path(source), None
    if manifest is not None and manifest.is_file():
        try:
            content = read_json(manifest)
            place, names = Path(content["path"]), list(content["files"])
        except (IPCIRError, KeyError, TypeError):
            pass
    if place.is_file():
        return place, [place]
    if not place.is_dir():
        return None, []
    found = [place / name for name in names] if names is not None else sorted(place.rglob("*"))
    return place, [path for path in found if path.suffix in SUFFIXES and path.is_file()]


def of_files(role: str, source: str, place: Path, files: list[Path]) -> Weights:
    stored = sum(path.stat().st_size for path in files)
    known = find(role, source, place)
    quantised = known is not None and any("quantization_config" in config for config in known.parts.values())
    quantised |= any(path.suffix == ".gguf" for path in files)
    counted = [header(path) for path in files if path.suffix == ".safetensors"]
    if counted and len(counted) == len(files):
        by_dtype: dict[str, int] = {}
        for part in counted:
            for dtype, numbers in part.items():
                by_dtype[dtype] = by_dtype.get(dtype, 0) + numbers
        most = max(by_dtype, key=by_dtype.get, default="float32")
        return Weights(stored, sum(by_dtype.values()), most, "files on disk", quantised)
    return Weights(stored, stored // 4, "float32", "files on disk", quantised)


def header(path: Path) -> dict[str, int]:
    """{number format: how many numbers} of a safetensors file; only its first lines are read."""
    with open(path, "rb") as file:
        content = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    counts: dict[str, int] = {}
    for name, entry in content.items():
        if name != "__metadata__":
            dtype = NAMES.get(entry["dtype"], "float32")
            counts[dtype] = counts.get(dtype, 0) + math.prod(entry["shape"])
    return counts


def of_architecture(known: Architecture, dtype: str | None = None) -> Weights:
    numbers = sum(known.parameters.values())
    config = next(iter(known.parts.values()))
    how = "published size"
    if known.size is not None:
        return Weights(known.size, numbers, known.stored, how, quantised="quantization_config" in config)
    if "quantization_config" not in config:
        stored = known.variant if known.variant and dtype not in (None, "float32") else known.stored
        return Weights(numbers * ITEM[stored], numbers, stored, how)
    quantisation = config["quantization_config"]
    embedded = config["vocab_size"] * config["hidden_size"] * (1 if config.get("tie_word_embeddings") else 2)
    # Each group of inputs has a scale (16 bits) and a zero beside its numbers.
    bits = quantisation["bits"] + (16 + quantisation["bits"]) / quantisation["group_size"]
    stored = int((numbers - embedded) * bits / 8) + embedded * 2
    return Weights(stored, numbers, known.stored, how, quantised=True)


def roles_of(config: Resolved, step: str) -> list[str]:
    """The models that a step loads, by role; a CLIP backbone is ``clip``."""
    if step == "proxies":
        return generator_roles(config.proxies, config.models)
    if step in ("reasoning", "layouts"):
        return [] if getattr(config, step).remote else ["llm"]
    if step == "verify":
        return [] if config.verify.remote else [config.verify.role]
    if step in ("captions", "proxy_captions"):
        return ["captioner"]
    return ["detector", "segmenter"] if step == "masks" else ["clip"]


def models_of(config: Resolved, step: str, backbone: str | None = None) -> Iterator[tuple[str, str, Path]]:
    """(role, source, manifest) of each model of a step."""
    for role in roles_of(config, step):
        if role == "clip":
            name = backbone or config.backbones[0]
            manifest = paths.CLIP_MANIFEST.format(stack=config.stack_name, backbone=name)
            yield role, config.clip[name].source, Path(manifest)
        else:
            manifest = paths.MANIFEST.format(stack=config.stack_name, role=role)
            yield role, config.models[role].source, Path(manifest)
