"""Follow a file back to annotations and weights, hash everything on the way, and say what does not hold."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from ipcir_steps.core import paths
from ipcir_steps.core.files import sha256
from ipcir_steps.provenance.audit.library import Library
from ipcir_steps.provenance.digests import shown
from ipcir_steps.provenance.environment import ROOT


@dataclasses.dataclass(frozen=True)
class Problem:
    """One broken link. kind: changed, missing, outdated, unrecorded, record, or stale."""

    path: str
    kind: str
    text: str
    rule: str | None = None


@dataclasses.dataclass
class Link:
    """One step of the chain: a file (or directory) with the record that made it; None for a source."""

    path: str
    depth: int
    record: dict | None
    sha256: str
    files: int = 1
    problems: list[Problem] = dataclasses.field(default_factory=list)


class Chain:
    """stale: called with a record, returns [(key, recorded, now)] of parameters that the configuration has changed."""

    def __init__(self, library: Library, stale: Callable[[dict], list] = lambda record: []):
        self.library, self.stale = library, stale
        self.links: list[Link] = []
        self.problems: dict[tuple[str, str], Problem] = {}
        self.hashed: dict[str, str | None] = {}
        self._visited: set[str] = set()
        self._shown: set[str] = set()

    def trace(self, path: str) -> None:
        """Verify one file and everything it was made of. ``path`` as records name it."""
        found = self.library.producer(path)
        if found is None:
            self._problem(path, "unrecorded", f"{path} has no record: nothing tells how it was made")
            return
        self._follow({"path": path, "sha256": found[1]}, None, 0)

    def trace_all(self) -> None:
        """Verify every output of every record that still made something, and what has no record below results/."""
        self._damaged()
        for record in self.library.records:
            mine = {
                path: value
                for entry in record["outputs"]
                for path, value in self.library.files(entry).items()
                if self.library.made[path][0] is record
            }
            if any(os.path.exists(path) for path in mine):
                for path, value in mine.items():
                    self._check(path, value, None)
                self._visit(record, 0)
        for path in unrecorded(self.library):
            self._problem(path, "unrecorded", f"{path} has no record: nothing tells how it was made")

    def _follow(self, entry: dict, consumer: dict | None, depth: int) -> None:
        """Check an input and visit the records that made it."""
        files = self.library.files(entry)
        found = [self._check(path, value, consumer) for path, value in files.items()]
        producers = {}
        for path in files:
            if made := self.library.producer(path):
                producers.setdefault(made[0]["file"], made[0])
        first = next(iter(producers.values()), None)
        if entry["path"] not in self._shown:
            self._shown.add(entry["path"])
            broken = [problem for problem in found if problem]
            self.links.append(Link(entry["path"], depth, first, entry["sha256"], len(files), broken))
        if not files and "files" in entry:
            path = self.library.root / "members" / f"{entry['sha256']}.json"
            self._problem(shown(path), "record", f"{shown(path)} is missing or damaged: it lists {entry['path']}")
        for record in producers.values():
            self._visit(record, depth)

    def _visit(self, record: dict, depth: int) -> None:
        if record["file"] in self._visited:
            return
        self._visited.add(record["file"])
        if not record["intact"]:
            self._problem(record["file"], "record", f"the record {record['file']} was altered after it was written")
        rule = record["rule"] or record["step"]
        image = record.get("container")
        if image and image["sha256"]:
            self._check(image["path"], image["sha256"], record)
        for key, then, now in self.stale(record):
            made = record["outputs"][0]["path"]
            self._problem(f"{made} {key}", "stale", f"{made} is stale: {key} was {then}, is now {now}", rule, made)
        for entry in record["inputs"]:
            self._follow(entry, record, depth + 1)

    def _check(self, path: str, expected: str, consumer: dict | None) -> Problem | None:
        now = self.digest(path)
        if now == expected:
            return None
        if now is None:
            return self._problem(path, "missing", f"{path} is missing")
        made = self.library.producer(path)
        rule = consumer and (consumer["rule"] or consumer["step"])
        if consumer and made and made[1] == now:
            output = consumer["outputs"][0]["path"]
            text = f"{output} was made from an older {path}: run the workflow again"
            return self._problem(f"{output} {path}", "outdated", text, rule, output)
        return self._problem(path, "changed", f"{path} has changed: its sha256 is {now[:12]}…, not {expected[:12]}…")

    def digest(self, path: str) -> str | None:
        """sha256 of what is there now, hashed once per audit; None when it is missing or unreadable."""
        if path not in self.hashed:
            try:
                self.hashed[path] = sha256(located(path))
            except OSError:
                self.hashed[path] = None
        return self.hashed[path]

    def _damaged(self) -> None:
        for path in self.library.damaged:
            self._problem(path, "record", f"the record {path} is damaged")

    def _problem(self, key: str, kind: str, text: str, rule: str | None = None, path: str | None = None) -> Problem:
        return self.problems.setdefault((key, kind), Problem(path or key, kind, text, rule))


def located(path: str) -> Path:
    """Where a recorded path lies now: ``package:…`` is below the installed package."""
    name = path.removeprefix("package:")
    if name == path:
        return Path(path)
    # Earlier records name the mini world from inside the package that it was a part of.
    return ROOT / (name.replace("mini/", "mini_world/", 1) if name.startswith("mini/") else name)


def unrecorded(library: Library) -> list[str]:
    """Files below results/ that no record made; hidden files and journals of unfinished steps are no artefacts."""
    found = []
    for top, directories, names in os.walk(paths.RESULTS):
        directories[:] = sorted(d for d in directories if not d.startswith("."))
        here = [shown(Path(top, name)) for name in sorted(names) if not name.startswith(".")]
        found += [path for path in here if path not in library.made and not path.endswith(".part")]
    return found
