"""How much memory a step needs, without torch: from the sizes of its models and from its settings.

Host memory is what a scheduler counts: everything resident, mapped weight files included. docs/rehearsal.md holds these
figures against measured peaks.
"""

import dataclasses
import shutil

from ipcir_steps.config import Resolved
from ipcir_steps.config.baselines import BASELINES
from ipcir_steps.config.data import MINI
from ipcir_steps.runtime.plan.architectures import Architecture, find
from ipcir_steps.runtime.plan.weights import ITEM, Weights, models_of, weights

MB, GB = 10**6, 10**9
PROGRAM = 0.9 * GB  # Python with torch, transformers or diffusers imported
FEATURES = 1.1 * GB  # the same, for features of the largest benchmark, read in blocks
ENGINE = 0.18 * GB  # the Snakemake that starts a step inside its job
CUDA_HOST, CUDA_DEVICE = 3 * GB, 0.6 * GB  # CUDA's libraries in main memory, its context on the device
RESERVE = 1.2  # what is asked for over what was estimated
UNKNOWN = 16 * GB  # for a model that is neither on disk nor one of the published
GALLERY = 125_000  # images or captions of the largest benchmark, CIRCO's test split
ROWS = 16  # answers side by side, where the step is left to choose
PROMPT = 600  # tokens of a prompt, at most
PICTURE = 1400  # of a picture of 1024 pixels in one, as Qwen2.5-VL reads it
TINY = 0.2 * GB  # for models of the mini world, which a rule may still have to make, and for their work
CLUSTERS = ("sbatch", "bsub", "qsub", "kubectl")  # commands that hand jobs to other machines
# Where a step's device and dtype are set.
SECTIONS = {
    "proxy_captions": "captions", "image_features": "embeddings", "text_features": "embeddings",
    "baseline": "embeddings",
}  # fmt: skip
# The half of a CLIP model that a step loads.
TOWERS = {"image_features": "image", "text_features": "text", "baseline": "text"}


@dataclasses.dataclass(frozen=True)
class Need:
    """Bytes of one job, without reserve. host: main memory; device: of the GPU, 0 where it runs on a CPU; how: what the
    sizes of the models were read from."""

    host: float
    device: float
    how: str


def megabytes(
    config: Resolved,
    step: str,
    attempt: int = 1,
    *,
    backbone: str | None = None,
    baseline: str | None = None,
    device: str | None = None,
) -> int:
    """``mem_mb`` of one job: its need and Snakemake's with a reserve, doubled with every further attempt.

    step: ``captions``, ``reasoning``, ``layouts``, ``masks``, ``proxies``, ``proxy_captions``, ``baseline``,
    ``image_features`` or ``text_features`` (of a backbone). device: ``cpu`` or ``cuda``; by default as configured.
    There ``auto`` is a GPU when this machine has one, a CPU when it has none, and the larger of both where it can hand
    jobs to others.
    """
    kinds = [device] if device else devices(config, step)
    host = ENGINE + max(need(config, step, kind, backbone, baseline).host for kind in kinds)
    return -(-int(host * RESERVE * 2 ** (attempt - 1)) // (100 * MB)) * 100


def devices(config: Resolved, step: str) -> list[str]:
    """Kinds of device that a job of this step may run on."""
    chosen = section(config, step).device
    if chosen != "auto":
        return ["cpu" if chosen == "cpu" else "cuda"]
    if shutil.which("nvidia-smi"):
        return ["cuda"]
    return ["cpu", "cuda"] if any(map(shutil.which, CLUSTERS)) else ["cpu"]


def section(config: Resolved, step: str):
    if step == "verify":
        return config.captions if config.verify.judge == "captioner" else config.verify.chat
    return getattr(config, SECTIONS.get(step, step))


def dtype_of(config: Resolved, step: str, device: str) -> str:
    """The number format that the weights of a step take."""
    if step == "baseline":
        return "float32"
    chosen = section(config, step).dtype
    return ("float32" if device == "cpu" else "float16") if chosen == "auto" else chosen


def need(config: Resolved, step: str, device: str, backbone: str | None = None, baseline: str | None = None) -> Need:
    """Of one job of a step on ``cpu`` or ``cuda``. A baseline that is not named, or your own, may encode texts."""
    if config.joined_to(baseline) or (baseline in BASELINES and not BASELINES[baseline].encodes):
        return Need(FEATURES, 0, "features alone")
    dtype = dtype_of(config, step, device)
    models = list(models_of(config, step, backbone))
    if any(source.startswith(f"{MINI}/") for _, source, _ in models):
        return job(device, PROGRAM, TINY, TINY, {"mini world"})
    host, on_device, how = PROGRAM, 0.0, set()
    if step.endswith("_features"):
        host += features(config, backbone)
    for role, source, manifest in models:
        found = weights(role, source, manifest, tower=TOWERS.get(step))
        if found is None:
            host += UNKNOWN
            how.add(f"{source} is unknown")
        else:
            host += loading(role, found, dtype)
            on_device += found.loaded(dtype)
            how.add(found.how)
    return job(device, host, on_device, working(config, step, ITEM[dtype], backbone), how)


def job(device: str, host: float, weights_on_device: float, work: float, how: set[str]) -> Need:
    told = ", ".join(sorted(how))
    if device == "cpu":
        return Need(host + work, 0, told)
    return Need(host + CUDA_HOST, weights_on_device + work + CUDA_DEVICE, told)


def loading(role: str, found: Weights, dtype: str) -> float:
    """Main memory while and after the weights are read.

    transformers and diffusers map the files and take the tensors as they are, or make copies in another format beside
    them; open_clip and our own readers fill a model in float32.
    """
    if role == "clip":
        return found.stored + found.numbers * ITEM["float32"]
    if role in ("migc", "elite_global", "elite_local"):
        return found.stored + found.loaded(dtype)
    return found.stored + (0 if found.quantised or found.dtype == dtype else found.loaded(dtype))


def working(config: Resolved, step: str, item: int, backbone: str | None = None) -> float:
    """Bytes beside the weights, at the peak of a step, for numbers of ``item`` bytes."""
    if step in ("captions", "proxy_captions"):
        return captioning(config, item, getattr(config, step).count)
    if step in ("reasoning", "layouts"):
        return answering(config, step, item)
    if step == "masks":
        return segmenting(config, item)
    if step == "proxies":
        return drawing(config, item)
    if step == "verify":
        return looking(config, item)
    return encoding(config, item, backbone, TOWERS[step])


def config_of(config: Resolved, role: str, part: str = "model") -> dict | None:
    known: Architecture | None = find(role, config.models[role].source)
    return known.parts.get(part) if known else None


def cache(layers: int, width: int, rows: int, tokens: int, item: int) -> float:
    """Keys and values of a language model, and of one layer a longer copy that is made beside the old one."""
    return 2 * (layers + 1) * width * rows * tokens * item


def captioning(config: Resolved, item: int, count: int) -> float:
    """count: captions of an image, which are one batch."""
    model, settings = config_of(config, "captioner"), config.captions
    if model is None:
        return GB
    text = model.get("text_config", model)
    rows = count if settings.nucleus else max(settings.beams, count)
    tokens = model.get("num_query_tokens", 32) + 1 + len(settings.prompt) // 3 + settings.max_new_tokens
    hidden, inner = text["hidden_size"], text.get("ffn_dim") or text["intermediate_size"]
    activations = rows * tokens * (4 * hidden + 2 * inner) * item + rows * text["vocab_size"] * 4 * 6
    return cache(text["num_hidden_layers"], hidden, rows, tokens, item) + activations + 0.3 * GB


def looking(config: Resolved, item: int) -> float:
    """Of a judge: a candidate with all its captions side by side, or one question with its pictures."""
    if config.verify.judge == "captioner":
        return captioning(config, item, config.captions.count)
    return 0 if config.verify.remote else 2 * GB


def answering(config: Resolved, step: str, item: int) -> float:
    if getattr(config, step).remote:
        return 0
    model = config_of(config, "llm")
    if model is None:
        return 2 * GB
    settings = getattr(config, step)
    rows, prompt = settings.batch_size or ROWS, PROMPT + (PICTURE if "vision_config" in model else 0)
    model = model.get("text_config", model)
    tokens = prompt + settings.max_new_tokens
    heads = model.get("num_key_value_heads") or model["num_attention_heads"]
    width = heads * (model.get("head_dim") or model["hidden_size"] // model["num_attention_heads"])
    activations = rows * prompt * (4 * model["hidden_size"] + 3 * model["intermediate_size"]) * item
    logits = rows * model["vocab_size"] * 4 * 6
    return cache(model["num_hidden_layers"], width, rows, tokens, item) + activations + logits


def segmenting(config: Resolved, item: int) -> float:
    """SAM's global attention holds every pair of its 64 x 64 positions, with relative positions beside them."""
    model = config_of(config, "segmenter")
    vision = (model or {}).get("vision_config", {})
    side = vision.get("image_size", 1024) // vision.get("patch_size", 16)
    return 3 * vision.get("num_attention_heads", 16) * side**4 * item


def drawing(config: Resolved, item: int) -> float:
    """The U-Net's largest level: its feature maps of a batch, both halves of the guidance."""
    settings = config.proxies
    if settings.generator == "directory":
        return 0
    flow = config_of(config, "generator", "transformer")
    if flow is not None:
        return in_transformer(config, flow, item)
    model = config_of(config, "generator", "unet") or {"block_out_channels": [320]}
    channels = model["block_out_channels"]
    channels = channels[0] if isinstance(channels, list | tuple) else channels
    rows = (2 if settings.guidance > 1 else 1) * min(settings.count, settings.proxies_per_batch)
    maps = rows * channels * settings.width * settings.height / 64 * item * 24
    if settings.merge_tokens:  # the likeness of a quarter of the positions to the others
        maps += rows * 3 / 16 * (settings.width * settings.height / 64) ** 2 * item
    width = 64 if "decoder" in config.models else 128  # of the decoder at full size
    return max(maps, settings.width * settings.height * width * item * 12)


def in_transformer(config: Resolved, model: dict, item: int) -> float:
    """One block of all tokens of a batch: its normed input, queries, keys, values and the four times wider inner layer,
    and the other stream beside it. An editing pipeline's reference has about 1024 x 1024 pixels."""
    settings = config.proxies
    width = model["num_attention_heads"] * model["attention_head_dim"]
    tokens = settings.width * settings.height / 256 + 512 + (4096 if settings.generator == "image_editing" else 0)
    blocks = min(settings.count, settings.proxies_per_batch) * tokens * width * item * 24
    return max(blocks, settings.width * settings.height * 128 * item * 12)


def encoding(config: Resolved, item: int, backbone: str | None, tower: str) -> float:
    """A batch through a tower, and of pictures those decoded for the next one."""
    known = find("clip", config.clip[backbone or config.backbones[0]].source)
    text = known.parts["model"].get("text_cfg") if known else None
    if tower == "text" and text and "width" in text:
        return config.embeddings.batch_size * text.get("context_length", 77) * text["width"] * 14 * item + 0.1 * GB
    vision = (known.parts["model"].get("vision_cfg", {}) if known else {}) or {}
    width, size, patch = vision.get("width", 1664), vision.get("image_size", 224), vision.get("patch_size") or 14
    batch = config.embeddings.batch_size
    return batch * (size // patch) ** 2 * width * 14 * item + 2 * batch * 3 * size**2 * 4 + 0.3 * GB


def features(config: Resolved, backbone: str | None) -> float:
    """All features of a gallery: as they were made, and laid out for their file."""
    known = find("clip", config.clip[backbone or config.backbones[0]].source)
    return 2 * GALLERY * 4 * (known.parts["model"].get("embed_dim", 1280) if known else 1280)
