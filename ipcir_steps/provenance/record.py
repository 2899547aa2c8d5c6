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
from ipcir_steps.core.files import digest, read_json
from ipcir_steps.provenance import arguments, environment, run
from ipcir_steps.provenance.digests import Digests, shown, write


class Recording:
    """A step under way. ``id``: digest of step, parameters, inputs and code."""

    def __init__(self, root: Path, step: str, argv: list[str], args: argparse.Namespace):
        self._begun, self._work = time.time(), time.perf_counter()
        self.root, self.step, self.argv, self.args = root, step, argv, args
        self.digests = Digests(root / "digests")
        self.inputs, self.models = [], []
        for name, path in arguments.paths(step, args, "input"):
            self._add(name, path)
        if (images := arguments.images(step, args)) is not None:
            self._add("images", *images)
        self.parameters = arguments.parameters(args)
        told = [[entry["argument"], entry["path"], entry["sha256"]] for entry in self.inputs]
        self.id = digest([step, self.parameters, told, environment.code_digest(step)])
        files.READ.clear()
        files.WRITTEN.clear()
        self._work = time.perf_counter() - self._work

    def _add(self, argument: str, path: Path, names=None) -> None:
        """A file, a directory (all of it, or the named files) or a model's manifest with the files that it lists."""
        if path.is_file():
            self.inputs.append({"argument": argument, **self.digests.file(path)})
            self._add_model(path)
        elif path.is_dir() and (tree := self.digests.tree(path, names)):
            self.inputs.append({"argument": argument, **tree})

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
            "step": self.step,
            "command": shlex.join(["ipcir", *self.argv]),
            "parameters": self.parameters,
            "seed": self.parameters.get("seed"),
            "inputs": [self._stored(entry) for entry in self.inputs],
            "models": self.models,
            "outputs": [self._stored(entry) for entry in outputs],
            "code": environment.code(self.step),
            "configuration": {name: told[name] for name in ("configfiles", "overrides") if name in told},
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
        """What was written, whole directories and images taken over from a killed run included."""
        found, trees = {}, []
        for name, path in arguments.paths(self.step, self.args, "output"):
            if self.step == "proxies" and name == "images":
                trees.append(self.digests.tree(path, arguments.drawn(*self.args.output)))
            elif path.is_file():
                found[shown(path)] = path
            elif path.is_dir() and self.step in ("mini", "browser"):
                trees.append(self.digests.tree(path))
        inside = [Path(tree["path"]).absolute() for tree in trees if tree]
        skipped = [*inside, *(p.absolute() for _, p in arguments.paths(self.step, self.args, "neither"))]
        for path in map(Path.absolute, files.WRITTEN):
            covered = any(path.is_relative_to(directory) for directory in skipped)
            if path.is_file() and not path.name.startswith(".") and not covered:
                found[shown(path)] = path
        return [self.digests.file(path) for path in found.values()] + [tree for tree in trees if tree]

    def _late_inputs(self, outputs: list[dict]) -> None:
        """Files that are known only now: annotations, prompts, images of a dataset, weights of a model."""
        known = {entry["path"] for entry in [*self.inputs, *outputs]}
        roots = [path.absolute() for _, path in arguments.paths(self.step, self.args, "neither")]
        below: dict[Path, list[str]] = {}
        for path in files.READ:
            covered = shown(path) in known or path.absolute().is_relative_to(environment.PACKAGE)
            if not path.is_file() or covered or path.name.startswith("."):
                continue
            known.add(shown(path))
            root = next((root for root in roots if path.absolute().is_relative_to(root)), None)
            if root:
                below.setdefault(root, []).append(str(path.absolute().relative_to(root)))
            else:
                self._add("read", path)
        for root, names in below.items():
            self._add("read", root, names)
        settings = self.parameters.get("settings")
        if isinstance(settings, dict) and settings.get("base_config"):
            self._add("base_config", Path(settings["base_config"]))
        if self.step == "datasets" and isinstance(settings, dict):
            lists = [self.args.output / f"{name}.jsonl" for name in ("gallery", "references")]
            listed = argparse.Namespace(root=Path(settings["root"]), references=lists[0], images=lists[1])
            self._add("images", *arguments.images(self.step, listed))
        untrained = self.parameters.get("untrained") or self.parameters.get("command") != "models"
        if self.step == "mini" and not untrained and not self.args.weights:
            shipped = self.digests.tree(environment.ROOT / "mini_world/weights") or {}
            # Inside an image the package lies elsewhere than where the audit runs.
            self.inputs += [{"argument": "weights", **shipped, "path": "package:mini_world/weights"}] if shipped else []
        if self.step == "models":
            made = read_json(self.args.output)
            entry = {"argument": "source", "path": shown(made["path"]), "sha256": digest(made["files"])}
            if Path(made["path"]).is_file():
                entry["sha256"] = next(iter(made["files"].values()))
            else:
                entry |= {"files": len(made["files"]), "members": made["files"]}
            self.inputs.append(entry)
            self._add_model(self.args.output)

    def _stored(self, entry: dict) -> dict:
        """An entry as the record has it: the members of a directory lie in a file that their digest names."""
        if "members" not in entry:
            return entry
        path = members_path(self.root, entry["sha256"])
        if not path.exists():
            write(path, json.dumps(entry["members"], ensure_ascii=False, indent=0) + "\n")
        return {name: value for name, value in entry.items() if name != "members"}


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
