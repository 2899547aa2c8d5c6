"""Training the mini world's models from scratch on a CPU: one file per model, one loop, one pool of pictures.

A training is a module with ``NEEDS`` (names of trainings whose weights it reads), ``run(work, weights, seed, images)``,
which writes ``weights/{name}.safetensors`` and keeps its states and curve in ``work``, and ``evaluate(models, seed)``,
which measures the built model directories on held-out pictures and returns figures.
"""

import importlib
from pathlib import Path

TRAININGS = {
    "clip": "clip",
    "blip2": "captioner",
    "qwen": "chat",
    "sd": "drawing",
    "elite": "elite",
    "mappings": "mappings",
    "judge": "judge",
    "grounding_dino": "detector",
    "sam": "segmenter",
}


def module(name: str):
    return importlib.import_module(f"ipcir_steps.mini.training.{TRAININGS[name]}")


def run(name: str, work: Path, weights: Path, seed: int) -> None:
    """Train one model, or go on where a killed run stopped. work: ``{work}/pool.npy`` is shared by all trainings."""
    from ipcir_steps.mini.training.pool import rendered

    module(name).run(work / name, weights, seed, rendered(seed, work / "pool.npy"))
