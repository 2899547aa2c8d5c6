"""What the rehearsal runs: the published configuration with local models, one query, and what had to be scaled."""

from pathlib import Path

from ipcir_steps.config import Config, load_config
from ipcir_steps.core import paths

SPLIT = "results/rehearsal/val"
REQUEST = "the same animal beside a red car in front of a snowy mountain"
# Random weights plan nothing of use: this stands in for a planned layout. One instance is from the reference.
LAYOUT = {
    "scene": "a snowy mountain under a clear sky",
    "instances": [
        {"label": "animal", "category": "animal", "description": "the animal, seen from the side",
         "box": [0.1, 0.35, 0.5, 0.9], "size": 4, "from_query": True, "modality": "image"},
        {"label": "red car", "category": "car", "description": "a red car with snow on its roof",
         "box": [0.5, 0.5, 0.95, 0.9], "size": 4, "from_query": False, "modality": "text"},
        {"label": "pine tree", "category": "tree", "description": "a tall pine tree covered with snow",
         "box": [0.7, 0.05, 0.95, 0.5], "size": 3, "from_query": False, "modality": "text"},
    ],
}  # fmt: skip
BACKBONES = {
    "ViT-L-14": "timm/vit_large_patch14_clip_224.openai",
    "ViT-g-14": "laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
    "ViT-bigG-14": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
}
WIDE = "wide"  # hardly a model, but its features are as long as those of ViT-bigG/14
SMALL = {
    "embed_dim": 1280,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 64, "head_width": 32, "layers": 1},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}
CLIP = (*BACKBONES, WIDE)
ROLES = ("captioner", "llm", "detector", "segmenter", "generator", "migc", "elite_global", "elite_local", "vision")
LAYERS = 12  # of the chat model's 64: what fits beside everything else


def config() -> Config:
    """A stack of local models on top of the published one."""
    half = {"dtype": "bfloat16"}
    stack = {
        "extends": "published",
        "backbones": list(BACKBONES),
        "models": {role: {"source": f"models/{role}"} for role in ROLES},
        "clip": {name: {"source": f"models/{name}"} for name in CLIP},
        "captions": half,
        "reasoning": {**half, "max_new_tokens": 16},
        "layouts": {**half, "max_new_tokens": 96},
        "masks": {"box_threshold": 0.0},
        "proxies": {"steps": 2, "migc_steps": 0, "fuser_steps": 1, "statistics": None},
        "searle_oti": {"steps": 2},
    }
    dataset = {
        "benchmark": "folder",
        "root": "photos",
        "queries": "queries.csv",
        "exclude_reference": True,
        "lambda": 0.3,
        "stack": "rehearsal",
    }
    return load_config({"run": ["rehearsal"], "datasets": {"rehearsal": dataset}, "stacks": {"rehearsal": stack}})


def manifest(name: str) -> Path:
    """Where ``ipcir plan`` looks for it too."""
    template = paths.CLIP_MANIFEST if name in CLIP else paths.MANIFEST
    return Path(template.format(stack="rehearsal", role=name, backbone=name))
