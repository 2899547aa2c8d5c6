"""Training the mini world's models from scratch on a CPU: one file per model, one loop, one pool of pictures.

A training is a module with ``run(work, weights, seed, images)``, which writes ``weights/{name}.safetensors`` and keeps
its states and curve in ``work``, and ``evaluate(models, seed)``, which measures the built model directories on held-out
pictures and returns figures.
"""

import importlib
from pathlib import Path

TRAININGS = {
    "clip": "clip",
    "blip2": "captioner",
    "qwen": "chat",
    "sd": "drawing",
    "elite": "elite",
    "lcm": "consistency",
    "mappings": "mappings",
    "judge": "judge",
    "grounding_dino": "detector",
    "sam": "segmenter",
}


# Trainings whose weights a training reads.
NEEDS = {"mappings": ("clip",), "elite": ("sd",), "lcm": ("sd", "elite")}


def module(name: str):
    return importlib.import_module(f"mini_world.training.{TRAININGS[name]}")


def run(name: str, work: Path, weights: Path, seed: int) -> None:
    """Train one model, or resume a killed run. work: ``{work}/pool.npy`` is shared by all training runs.

    Ends with ``weights/{name}.curve.jsonl``: the learning curves of its parts.
    """
    from ipcir_steps.core.files import read_jsonl, write_jsonl
    from mini_world.training.pool import rendered

    module(name).run(work / name, weights, seed, rendered(seed, work / "pool.npy"))
    curves = sorted((work / name).rglob("curve.jsonl"))
    points = [{"part": path.parent.relative_to(work).as_posix(), **p} for path in curves for p in read_jsonl(path)]
    write_jsonl(weights / f"{name}.curve.jsonl", points)


def evaluate(models: Path, seed: int) -> dict[str, dict[str, float]]:
    """Held-out figures of every training, of the built models."""
    return {name: module(name).evaluate(models, seed) for name in TRAININGS}
