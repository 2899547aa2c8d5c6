"""One record: begun before a step runs, finished and written after it."""

import argparse
import datetime
import json
import os
import resource
import shlex
import sys
import time
from pathlib import Path

from ipcir_steps.core import files
from ipcir_steps.core.arguments import InFile, OutFile, OutImageList, OutImages, OutManifest, OutTree, Root, Scratch
from ipcir_steps.core.files import digest, read_json
from ipcir_steps.provenance import arguments, environment, run
from ipcir_steps.provenance.digests import Digests, shown, write
from ipcir_steps.steps import Step


class Recording:
    """A step under way. ``id``: digest of step, parameters, inputs and code."""

    def __init__(self, root: Path, step: Step, argv: list[str], args: argparse.Namespace):
        self._begun, self._work = time.time(), time.perf_counter()
        self.root, self.step, self.argv, self.args = root, step, argv, args
        self.digests = Digests(root / "digests")
        self.inputs, self.models = [], []
        for name, path in arguments.paths(args, InFile):
            self._add(name, path)
        if (images := arguments.images(args)) is not None:
            self._add("images", *images)
        self.parameters = arguments.parameters(args)
        told = [[entry["argument"], entry["path"], entry["sha256"]] for entry in self.inputs]
        self.id = digest([step.name, self.parameters, told, environment.code_digest(step.name)])
        files.READ.clear()
        files.WRITTEN.clear()
        self._work = time.perf_counter() - self._work

    def _add(self, argument: str, path: Path, names=None) -> None:
        """A file, a directory (all of it, or the named files) or a model's manifest with the files that it lists."""
        if path.is_file():
            self.inputs.append({"argument": argument, **self.digests.file(path), "path": environment.named(path)})
            self._add_model(path)
        elif path.is_dir() and (tree := self.digests.tree(path, names)):
            self.inputs.append({"argument": argument, **tree, "path": environment.named(path)})

    def _add_model(self, path: Path) -> None:
        if path.suffix != ".json" or path.stat().st_size > 1 << 22:
            return
        content = read_json(path)
        if isinstance(content, dict) and content.keys() >= {"name", "source", "revision", "path", "files"}:
            model = {name: content[name] for name in ("name", "source", "revision")}
            self.models.append({**model, "manifest": shown(path), "digest": digest(content["files"])})

    def finish(self) -> Path | None:
        """Write the record; return its path. None when the step made no file."""
        seconds = time.time() - self._begun
        started = time.perf_counter()
        outputs = self._outputs()
        if not outputs:
            return None
        self._late_inputs(outputs)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        told = run()
        record = {
            "id": self.id,
            "rule": os.environ.get("IPCIR_RULE"),
            "step": self.step.name,
            "command": shlex.join(["ipcir", *self.argv]),
            "parameters": self.parameters,
            "seed": self.parameters.get("seed"),
            "inputs": [self._stored(entry) for entry in self.inputs],
            "models": self.models,
            "outputs": [self._stored(entry) for entry in outputs],
            "code": environment.code(self.step.name),
            "configuration": {name: told[name] for name in ("configfiles", "overrides", "values") if name in told},
            "software": environment.software(),
            "container": environment.container(self.digests),
            "host": environment.host(),
            "started": _utc(self._begun),
            "finished": _utc(self._begun + seconds),
            "seconds": round(seconds, 3),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "peak_mib": round(usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1),
        }
        self.digests.save()
        record["recording_seconds"] = round(self._work + time.perf_counter() - started, 4)
        record["seal"] = seal(record)
        path = record_path(self.root, outputs[0]["path"])
        write(path, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
        return path

    def _outputs(self) -> list[dict]:
        """What was written, including whole directories, and images reused from a killed run."""
        found = {shown(path): path for _, path in arguments.paths(self.args, OutFile) if path.is_file()}
        trees = [self.digests.tree(path) for _, path in arguments.paths(self.args, OutTree) if path.is_dir()]
        lists = [path for _, path in arguments.paths(self.args, OutImageList) if path.is_file()]
        images = [name for path in lists for name in arguments.listed(path)]
        trees += [self.digests.tree(path, images) for _, path in arguments.paths(self.args, OutImages)]
        elsewhere = [path.absolute() for _, path in arguments.paths(self.args, OutTree, OutImages, Root, Scratch)]
        for path in map(Path.absolute, files.WRITTEN):
            covered = any(path.is_relative_to(directory) for directory in elsewhere)
            if path.is_file() and not path.name.startswith(".") and not covered:
                found[shown(path)] = path
        return [self.digests.file(path) for path in found.values()] + [tree for tree in trees if tree]

    def _late_inputs(self, outputs: list[dict]) -> None:
        """Files that are known only now: annotations, prompts, images of a dataset, what a model's manifest lists."""
        for root, names in self._read([*self.inputs, *outputs]).items():
            if isinstance(names, list):
                self._add("read", root, names)
            else:
                self._add("read", root)
        for _, path in arguments.paths(self.args, OutManifest):
            self.inputs.append(_listed_by(path))
            self._add_model(path)

    def _read(self, known: list[dict]) -> dict[Path, list[str] | None]:
        """{file: None, or directory: names} of what was read and neither ``known`` nor part of the code."""
        paths = {entry["path"] for entry in known}
        trees = [(Path(entry["path"]).absolute(), entry["members"]) for entry in known if "members" in entry]
        roots = [path for _, path in arguments.paths(self.args, Root)]
        found: dict[Path, list[str] | None] = {}
        for path, below in dict.fromkeys(files.READ):
            if not path.is_file() or path.name.startswith(".") or environment.covered(path, self.step.name):
                continue
            if shown(path) in paths or any(_inside(path.absolute(), *tree) for tree in trees):
                continue
            root = below or next((root for root in roots if path.absolute().is_relative_to(root.absolute())), None)
            if root is None:
                found[path] = None
            else:
                found.setdefault(root, []).append(os.path.relpath(path, root))
        return found

    def _stored(self, entry: dict) -> dict:
        """An entry as the record has it: the members of a directory lie in a file that their digest names."""
        if "members" not in entry:
            return entry
        path = members_path(self.root, entry["sha256"])
        if not path.exists():
            write(path, json.dumps(entry["members"], ensure_ascii=False, indent=0) + "\n")
        return {name: value for name, value in entry.items() if name != "members"}


def _inside(path: Path, directory: Path, members: dict) -> bool:
    """Whether a file is one of the recorded members of a directory."""
    return path.is_relative_to(directory) and str(path.relative_to(directory)) in members


def _listed_by(manifest: Path) -> dict:
    """The input that a model's manifest describes: one file, or the files of a directory."""
    made = read_json(manifest)
    entry = {"argument": "source", "path": shown(made["path"]), "sha256": digest(made["files"])}
    if Path(made["path"]).is_file():
        return entry | {"sha256": next(iter(made["files"].values()))}
    return entry | {"files": len(made["files"]), "members": made["files"]}


def seal(record: dict) -> str:
    """Digest of a record, so that a changed record is noticed."""
    return digest({name: value for name, value in record.items() if name != "seal"})


def record_path(root: Path, output: str) -> Path:
    """``provenance/results/…`` for an output below the working directory, ``provenance/outside/…`` for others."""
    return root / (f"outside{output}.json" if os.path.isabs(output) else f"{output}.json")


def members_path(root: Path, value: str) -> Path:
    return root / "members" / f"{value}.json"


def _utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
