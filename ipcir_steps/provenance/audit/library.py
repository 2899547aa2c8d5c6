"""All records of a tree, and which of them made a file."""

import json
import os
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import digest
from ipcir_steps.provenance.digests import shown
from ipcir_steps.provenance.record import members_path, seal

EARLIER = "room"  # what records called the step before they told what it took from the configuration
ASIDE = {"members", "digests"}  # directories below provenance/ that hold no records


class Library:
    """The records below ``root``. Where several name the same output, the one that finished last made it."""

    def __init__(self, root: Path):
        self.root, self.damaged = root, []
        self._members: dict[str, dict[str, str]] = {}
        self.records = sorted(self._read(), key=lambda record: record["finished"])
        self.made: dict[str, tuple[dict, str]] = {}
        for record in self.records:
            for entry in record["outputs"]:
                for path, value in self.files(entry).items():
                    self.made[path] = record, value

    def _read(self):
        if not self.root.is_dir():
            remedy = "Run the workflow, or a step, in this directory first; --records names another directory."
            raise InputError("there are no records", file=self.root, remedy=remedy)
        for top, directories, names in os.walk(self.root):
            directories[:] = sorted(d for d in directories if not d.startswith(".") and (top, d) not in self._aside())
            for name in sorted(names):
                if name.endswith(".json") and not name.startswith("."):
                    record = self._record(Path(top, name))
                    if record is not None:
                        yield record

    def _aside(self):
        return {(str(self.root), name) for name in ASIDE}

    def _record(self, path: Path) -> dict | None:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            intact, step = record["seal"] == seal(record), record[EARLIER if EARLIER in record else "step"]
        except (OSError, ValueError, KeyError, TypeError):
            self.damaged.append(shown(path))
            return None
        return {**record, "step": step, "file": shown(path), "intact": intact}

    def files(self, entry: dict) -> dict[str, str]:
        """{path: sha256} of an input or output: one file, or the members of a directory."""
        if "files" not in entry:
            return {entry["path"]: entry["sha256"]}
        return {os.path.join(entry["path"], name): value for name, value in self.members(entry["sha256"]).items()}

    def members(self, value: str) -> dict[str, str]:
        """Members of a directory by their digest; what is damaged or missing is noted and empty."""
        if value not in self._members:
            path = members_path(self.root, value)
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                whole = isinstance(content, dict)
            except (OSError, ValueError):
                content, whole = {}, False
            if not whole or digest(content) != value:
                self.damaged.append(shown(path))
            self._members[value] = content if whole else {}
        return self._members[value]

    def producer(self, path: str) -> tuple[dict, str] | None:
        """(record, digest) of the step that made a file; None for a source."""
        return self.made.get(path)

    def by_id(self, identity: str, value: str) -> dict | None:
        """The record with that id; of several, the one that made these bytes, else the last one."""
        found = [record for record in self.records if record["id"] == identity]
        exact = [r for r in found if any(value in self.files(entry).values() for entry in r["outputs"])]
        return (exact or found or [None])[-1]
