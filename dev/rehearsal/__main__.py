"""Rehearse the published configuration at full size, without its weights, on one photograph and one query.

    python -m dev.rehearsal --photo PHOTO.jpg            # about two hours on two cores, 60 GB of disk, 20 GB of memory
    python -m dev.rehearsal --photo PHOTO.jpg --next     # the next step only; 1 when there is none

Each step's models are written with random weights, its real command runs in a process of its own, and the models are
deleted when no step that is still to run reads them. What is measured lies below ``state/``; a rehearsal that was
stopped continues.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path

import torch

from dev.rehearsal import checkpoints, measure, outputs, settings
from dev.rehearsal.steps import Step, stand_in, steps

ROOT = Path(__file__).parents[2]


def prepare(directory: Path, photo: Path, gallery: Path | None) -> None:
    """The folder dataset: the photograph, a few others to rank, one query."""
    photos = directory / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    others = sorted(gallery.iterdir())[:8] if gallery else []
    for path in {photo, *others}:
        shutil.copy(path, photos / path.name)
    (directory / "queries.csv").write_text(f'reference,caption,id\n"{photo.name}","{settings.REQUEST}",1\n')
    (directory / "stand_in.jsonl").write_text(stand_in(settings.LAYOUT))


def write(name: str, directory: Path) -> None:
    """The checkpoint and its manifest, unless they are there."""
    target = directory / "models" / name
    if (directory / settings.manifest(name)).is_file():
        return
    shutil.rmtree(target, ignore_errors=True)
    start = time.monotonic()
    if name in settings.BACKBONES:
        checkpoints.clip(target, torch.float32, settings.BACKBONES[name])
    elif name == "llm":
        checkpoints.llm(target, torch.bfloat16, settings.LAYERS)
    else:
        checkpoints.WRITERS[name](target, torch.bfloat16 if name == "captioner" else torch.float32)
    gigabytes = checkpoints.size(target) / 1e9
    print(f"{name}: wrote {gigabytes:.2f} GB in {time.monotonic() - start:.0f} s", flush=True)
    command = ["models", "--name", name, "--source", f"models/{name}", "--directory", "unused"]
    ipcir([*command, "--output", str(settings.manifest(name))], directory, directory / "models.log")


def ipcir(argv: list[str], directory: Path, log: Path, operations: Path | None = None) -> measure.Measured:
    """Run one command in ``directory``; with ``operations`` its operations are counted into that file."""
    module = ["dev.rehearsal.counted", str(operations)] if operations else ["ipcir_steps"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPCIR_PROVENANCE": "", "HF_HUB_OFFLINE": "1"}
    return measure.run([sys.executable, "-m", *module, *argv], log, directory, environment)


def rehearse(step: Step, directory: Path) -> None:
    """Run a step and write down what it took."""
    state = state_of(step, directory)
    if state.is_file():
        return
    for name in step.models:
        write(name, directory)
    state.parent.mkdir(parents=True, exist_ok=True)
    # Counting loads torch, which a step without a model may not need.
    counted = state.with_suffix(".operations") if step.models else None
    print(f"{step.name}: running", flush=True)
    taken = ipcir(step.argv, directory, state.with_suffix(".log"), counted)
    note = {
        "step": step.name,
        **dataclasses.asdict(taken),
        "operations": json.loads(counted.read_text()) if counted else None,
        "output": outputs.describe(directory / step.output),
        "models": {name: checkpoints.size(directory / "models" / name) for name in step.models},
    }
    state.write_text(json.dumps(note, indent=1))
    print(f"{step.name}: {taken.seconds:.0f} s, {taken.resident / 1e9:.1f} GB, {note['output']}", flush=True)


def state_of(step: Step, directory: Path) -> Path:
    name = "".join(c if c.isalnum() or c == "-" else "_" for c in step.name)
    return directory / "state" / f"{name}.json"


def forget(name: str, directory: Path) -> None:
    shutil.rmtree(directory / "models" / name, ignore_errors=True)
    (directory / settings.manifest(name)).unlink(missing_ok=True)


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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path("rehearsal"), help="where everything is written")
    parser.add_argument("--photo", type=Path, help="the reference image")
    parser.add_argument("--gallery", type=Path, help="directory of images to rank; eight are taken")
    parser.add_argument("--only", nargs="+", help="names of steps, or their beginnings")
    parser.add_argument("--next", action="store_true", help="one step, the first of these that has not run")
    parser.add_argument("--keep", action="store_true", help="delete no model")
    parser.add_argument("--list", action="store_true", help="print what has not run")
    args = parser.parse_args(argv)
    directory = args.directory.absolute()
    planned = list(steps(settings.config()))
    wanted = [step for step in planned if not args.only or step.name.startswith(tuple(args.only))]
    wanted = remaining(wanted, directory)
    if args.list:
        print("\n".join(step.name for step in wanted))
        return 0
    if args.photo:
        prepare(directory, args.photo, args.gallery)
    for step in wanted[:1] if args.next else wanted:
        run(step, directory, planned, args.keep)
    return 1 if args.next and not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
