"""The built-in catalogues: the mini world, the three benchmarks, the published models."""

from ipcir_steps.config.baselines import MAPPED
from ipcir_steps.config.data import Backbone, Dataset, Model

MINI = "resources/mini"


def _dataset(benchmark: str, root: str, lam: float, *, exclude_reference: bool = False, **more) -> Dataset:
    values = {"benchmark": benchmark, "root": root, "split": "val", "exclude_reference": exclude_reference}
    return Dataset(**values, **{"lambda": lam}, **more)


DATASETS = {
    "mini_cirr": _dataset("cirr", f"{MINI}/world/mini_cirr", 0.5, hidden_split="test1", exclude_reference=True),
    "mini_circo": _dataset("circo", f"{MINI}/world/mini_circo", 0.5, hidden_split="test"),
    "mini_fashioniq": _dataset("fashioniq", f"{MINI}/world/mini_fashioniq", 0.8),
    "cirr": _dataset("cirr", "data/CIRR", 0.0, hidden_split="test1", exclude_reference=True),
    "circo": _dataset("circo", "data/CIRCO", 0.3, hidden_split="test"),
    "fashioniq": _dataset("fashioniq", "data/FashionIQ", 0.8, missing_images="skip"),
}

MODELS = {
    "captioner": Model(source=f"{MINI}/models/blip2"),
    "llm": Model(source=f"{MINI}/models/qwen"),
    "detector": Model(source=f"{MINI}/models/grounding_dino"),
    "segmenter": Model(source=f"{MINI}/models/sam"),
    "generator": Model(source=f"{MINI}/models/sd"),
    "migc": Model(source=f"{MINI}/models/migc"),
    "elite_global": Model(source=f"{MINI}/models/elite_global"),
    "elite_local": Model(source=f"{MINI}/models/elite_local"),
    "vision": Model(source=f"{MINI}/models/elite_vision"),
}

BACKBONES = {"mini": Backbone(source=f"{MINI}/models/clip")}

MAPPINGS = {name: {"mini": Model(source=f"{MINI}/models/{name}")} for name in MAPPED}
