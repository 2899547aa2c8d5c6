"""One step of the rehearsal: its models are written, its command runs, what it took is written down."""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path

import torch

from dev.rehearsal import checkpoints, large, measure, outputs, settings
from dev.rehearsal.expected import expected
from dev.rehearsal.steps import Step, stand_in

ROOT = Path(__file__).parents[2]


def prepare(directory: Path, photo: Path, gallery: Path | None) -> None:
    """The folder dataset: the photograph, up to eight others to rank, one query."""
    photos = directory / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    others = [path for path in sorted(gallery.iterdir()) if path.suffix in (".jpg", ".jpeg", ".png")] if gallery else []
    others = [path for path in others if path.name != photo.name][:8]
    for path in (photo, *others):
        shutil.copy(path, photos / path.name)
    row = f'"{photo.name}","{settings.REQUEST}","{others[0].name if others else ""}",1'
    (directory / "queries.csv").write_text(f"reference,caption,targets,id\n{row}\n")
    (directory / "stand_in.jsonl").write_text(stand_in(settings.LAYOUT))


def run(step: Step, directory: Path, planned: list[Step], keep: bool = False) -> None:
    """A step; then its models go, unless a step that is still to run reads them."""
    rehearse(step, directory)
    if keep:
        return
    later = {name for other in remaining(planned, directory) for name in other.models}
    for name in set(step.models) - later:
        forget(name, directory)


def remaining(planned: list[Step], directory: Path) -> list[Step]:
    return [step for step in planned if not state_of(step, directory).is_file()]


def rehearse(step: Step, directory: Path) -> None:
    """Run a step and write down what it took, and what the plan says of it."""
    for name in step.models:
        write(name, directory)
    if f"{large.LARGE}/" in step.words or step.output == large.LARGE:
        large.prepare(directory, settings.config())
    state = state_of(step, directory)
    state.parent.mkdir(parents=True, exist_ok=True)
    # Counting loads torch, which a step without a model may not need.
    counted = state.with_suffix(".counts") if step.models else None
    print(f"{step.name}: running", flush=True)
    taken = ipcir(step.argv, directory, state.with_suffix(".log"), counted)
    counts = json.loads(counted.read_text()) if counted else {"operations": None, "tokens": None}
    with contextlib.chdir(directory):
        plan = expected(step, settings.config().resolved("rehearsal"), counts["tokens"])
    note = {
        "step": step.name,
        "rule": step.rule,
        **dataclasses.asdict(taken),
        **counts,
        "output": outputs.describe(directory / step.output),
        "models": {name: checkpoints.size(directory / "models" / name) for name in step.models},
        "plan": plan,
    }
    state.write_text(json.dumps(note, indent=1))
    print(f"{step.name}: {taken.seconds:.0f} s, {taken.resident / 1e9:.1f} GB, {note['output']}", flush=True)


def state_of(step: Step, directory: Path) -> Path:
    name = "".join(c if c.isalnum() or c == "-" else "_" for c in step.name)
    return directory / "state" / f"{name}.json"


def write(name: str, directory: Path) -> None:
    """The checkpoint and its manifest, unless they are there."""
    target = directory / "models" / name
    if (directory / settings.manifest(name)).is_file():
        return
    shutil.rmtree(target, ignore_errors=True)
    start = time.monotonic()
    if name in settings.CLIP:
        checkpoints.clip(target, torch.float32, checkpoints.clip_config(name))
    elif name == "llm":
        checkpoints.llm(target, torch.bfloat16, settings.LAYERS)
    else:
        checkpoints.WRITERS[name](target, torch.bfloat16 if name == "captioner" else torch.float32)
    gigabytes = checkpoints.size(target) / 1e9
    print(f"{name}: wrote {gigabytes:.2f} GB in {time.monotonic() - start:.0f} s", flush=True)
    command = ["models", "--name", name, "--source", f"models/{name}", "--directory", "unused"]
    ipcir([*command, "--output", str(settings.manifest(name))], directory, directory / "models.log")


def forget(name: str, directory: Path) -> None:
    shutil.rmtree(directory / "models" / name, ignore_errors=True)
    (directory / settings.manifest(name)).unlink(missing_ok=True)


def ipcir(argv: list[str], directory: Path, log: Path, operations: Path | None = None) -> measure.Measured:
    """Run one command in ``directory``; with ``operations`` its operations are counted into that file."""
    module = ["dev.rehearsal.counted", str(operations)] if operations else ["ipcir_steps"]
    return measure.run([sys.executable, "-m", *module, *argv], log, directory, environment())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "IPCIR_PROVENANCE": "", "HF_HUB_OFFLINE": "1"}
