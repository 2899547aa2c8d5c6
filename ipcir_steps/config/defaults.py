"""The built-in catalogues: the mini world, the three benchmarks, the published models."""

from ipcir_steps.config.data import Backbone, Dataset, Model

MINI = "resources/mini"
BASELINES = (
    "ldre", "cirevl", "searle", "searle_oti", "lincir", "pic2word", "image_only", "text_only", "image_text",
)  # fmt: skip
MAPPED = ("searle", "lincir", "pic2word")  # these need a mapping network

DATASETS = {
    "mini_cirr": Dataset(
        format="cirr",
        root=f"{MINI}/world/mini_cirr",
        split="val",
        hidden_split="test1",
        exclude_reference=True,
        balance=0.5,
    ),
    "mini_circo": Dataset(
        format="circo",
        root=f"{MINI}/world/mini_circo",
        split="val",
        hidden_split="test",
        exclude_reference=False,
        balance=0.5,
    ),
    "mini_fashioniq": Dataset(
        format="fashioniq", root=f"{MINI}/world/mini_fashioniq", split="val", exclude_reference=False, balance=0.8
    ),
    "cirr": Dataset(
        format="cirr", root="data/CIRR", split="val", hidden_split="test1", exclude_reference=True, balance=0.0
    ),
    "circo": Dataset(
        format="circo", root="data/CIRCO", split="val", hidden_split="test", exclude_reference=False, balance=0.3
    ),
    "fashioniq": Dataset(
        format="fashioniq",
        root="data/FashionIQ",
        split="val",
        exclude_reference=False,
        balance=0.8,
        missing_images="skip",
    ),
}

MODELS = {
    "captioner": Model(source=f"{MINI}/models/blip2"),
    "chat": Model(source=f"{MINI}/models/qwen"),
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
