"""What the plan says today of steps that were measured once, without their models.

Each model is a directory with its config and one file that is as large as its weights and holds nothing.
"""

import contextlib
import json
import tempfile
from pathlib import Path

from dev.rehearsal import large, settings
from dev.rehearsal.checkpoints import SOURCES, clip_config, parts
from dev.rehearsal.expected import Met, asked, memory, operations, typical
from dev.rehearsal.steps import Step, steps
from ipcir_steps.runtime.plan.architectures import files_of
from ipcir_steps.runtime.plan.operations import Counts
from ipcir_steps.runtime.plan.weights import NAMES


def every() -> list[Step]:
    """All steps of a rehearsal, in their order."""
    config = settings.config()
    return [*steps(config), *large.steps(config)]


def claims(measured: dict) -> dict[str, dict]:
    """{step: {mem_mb, operations}}: of each step that was measured; operations are None where none are counted.

    measured: ``measured.json``.
    """
    notes = {note["step"]: note for note in measured["steps"]}
    config, found = settings.config().resolved("rehearsal"), {}
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        for note in notes.values():
            for role, weights in note["weights"].items():
                sketch(role, note["step"].partition(":")[0] if role == "clip" else role, weights)
        counts, known = Counts(config), {}
        for step in every():
            note = notes.get(step.name)
            if note is None:
                continue
            if step.planned is None:
                found[step.name] = {"mem_mb": asked(step.rule), "operations": None}
                continue
            met = Met(**note["met"])
            counts.typical = typical(config, met)
            same = (step.planned, step.backbone, "captions" in step.name, str(met))
            if same not in known:
                known[same] = operations(step, config, met, counts)
            found[step.name] = {"mem_mb": memory(step, config)["mem_mb"], "operations": known[same]}
    return found


def sketch(role: str, name: str, weights: dict) -> None:
    """``models/NAME`` as the plan looks at it."""
    place = Path("models") / name
    if place.is_dir():
        return
    place.mkdir(parents=True)
    known = {}
    if name in settings.CLIP:
        known = {"model": clip_config(name)}
    elif role in SOURCES:
        known = parts(role, SOURCES[role])
    if role == "llm":
        known = {"model": {**known["model"], "num_hidden_layers": settings.LAYERS}}
        known["model"].pop("quantization_config", None)
    if not known:
        empty(place / "model.ckpt", b"", weights["stored"])
        return
    for part, file in files_of(role).items():
        (place / file).parent.mkdir(exist_ok=True)
        content = {"model_cfg": known[part]} if role == "clip" else known[part]
        (place / file).write_text(json.dumps(content))
    names = {name: short for short, name in NAMES.items()}
    tensor = {"dtype": names[weights["dtype"]], "shape": [weights["numbers"]], "data_offsets": [0, weights["stored"]]}
    text = json.dumps({"weights": tensor}).encode()
    empty(place / "model.safetensors", len(text).to_bytes(8, "little") + text, weights["stored"])


def empty(path: Path, head: bytes, size: int) -> None:
    """A file of ``size`` bytes that takes no room on the disk."""
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(size)
