"""The training loop that every recipe shares: seeded per step, resumable after a kill, with a curve on disk."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ipcir_steps.core.files import atomic, dumps
from ipcir_steps.core.files import seed as derive
from ipcir_steps.core.progress import Progress

SAVE_EVERY = 60  # seconds between two states on disk
REPORT_EVERY = 50  # steps between two points of the curve


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one model is trained.

    model: all trained parameters. loss: called with a seeded generator per step, returns the loss (a scalar) and
    figures to record (floats). The data of step i depend on the seed and i alone, so a resumed run sees the same.
    average: decay of the moving average of the weights, which is the result; 0 for the last weights.
    """

    name: str
    model: nn.Module
    loss: Callable[[torch.Generator], tuple[Tensor, dict[str, float]]]
    steps: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: int = 200
    clip: float = 1.0
    average: float = 0.998
    betas: tuple[float, float] = (0.9, 0.98)


def train(recipe: Recipe, directory: Path, seed: int) -> dict[str, Tensor]:
    """Train to the end and return the (averaged) weights, float32.

    Writes ``curve.jsonl`` (step, seconds, loss, figures) and, each minute, ``state.pt`` into ``directory``; a run that
    finds a state goes on from it, one that finds a finished state returns it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state_path, curve_path = directory / "state.pt", directory / "curve.jsonl"
    model = recipe.model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim > 1]
    rest = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    step, spent, curve = 0, 0.0, []
    if state_path.is_file():
        state = torch.load(state_path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, spent, curve = state["average"], state["step"], state["seconds"], state["curve"]

    def save() -> None:
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
        with atomic(state_path) as temporary:
            torch.save({**content, "step": step, "seconds": spent, "curve": curve}, temporary)
        with atomic(curve_path) as temporary:
            temporary.write_text("".join(dumps(point) + "\n" for point in curve))

    started = saved = time.monotonic()
    sums: dict[str, float] = {}
    since = 0
    with Progress(f"training {recipe.name}", total=recipe.steps, done=step) as progress:
        while step < recipe.steps:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(step, recipe.steps, recipe.warmup)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive(seed, recipe.name, "noise", step))
                loss, figures = recipe.loss(torch.Generator().manual_seed(derive(seed, recipe.name, step)))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
            nn.utils.clip_grad_norm_(parameters, recipe.clip)
            optimizer.step()
            step += 1
            decay = min(recipe.average, (1 + step) / (10 + step))
            with torch.no_grad():
                for name, value in model.state_dict().items():
                    if value.is_floating_point():
                        average[name].lerp_(value, 1 - decay)
                    else:
                        average[name].copy_(value)
            for name, value in {"loss": loss.item(), **figures}.items():
                sums[name] = sums.get(name, 0.0) + value
            since += 1
            now = time.monotonic()
            if step % REPORT_EVERY == 0 or step == recipe.steps:
                means = {name: round(value / since, 5) for name, value in sums.items()}
                curve.append({"step": step, "seconds": round(spent + now - started), **means})
                sums, since = {}, 0
                progress.advance(curve[-1]["step"] - progress.done, **means)
                if not all(map(math.isfinite, means.values())):
                    raise FloatingPointError(f"training {recipe.name} diverged at step {step}: {json.dumps(means)}")
            if now - saved > SAVE_EVERY or step == recipe.steps:
                spent, started, saved = spent + now - started, now, now
                save()
    return average


def schedule(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def write_weights(weights: dict[str, Tensor], path: Path) -> None:
    """float16 safetensors; integers (buffers of positions) stay as they are."""
    from safetensors.torch import save_file

    halves = {k: (v.half() if v.is_floating_point() else v).contiguous().clone() for k, v in weights.items()}
    with atomic(path) as temporary:
        save_file(halves, temporary, metadata={"format": "pt"})
