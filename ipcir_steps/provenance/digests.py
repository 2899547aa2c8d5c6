"""Digests of files and directories, each computed once as long as size, time and inode stay the same."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from ipcir_steps.core.files import digest, sha256

# A file that was written this short a time before it was hashed can change again under the same time stamp.
RACY_NS = 10_000_000


def shown(path: str | Path) -> str:
    """A path as records name it: relative to the working directory where it lies inside, else absolute."""
    path = os.path.abspath(path)
    here = os.getcwd() + os.sep
    return path.removeprefix(here) if path.startswith(here) else path


class Digests:
    """sha256 of files, remembered below ``root`` in one small file per directory.

    Processes that run side by side may overwrite each other's memory; the loser's files are then hashed again.
    """

    def __init__(self, root: Path):
        self.root = root
        self._known: dict[str, dict[str, list]] = {}
        self._changed: set[str] = set()

    def file(self, path: str | Path, group: str | None = None) -> dict:
        """{"path", "sha256", "bytes"} of a file. group: the directory under whose name it is remembered."""
        name = shown(path)
        group = group if group is not None else os.path.dirname(name)
        memory = self._memory(group)
        stat = os.stat(path)
        key = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        found = memory.get(name)
        if found and found[:3] == key:
            return {"path": name, "sha256": found[3], "bytes": stat.st_size}
        value = sha256(path)
        if time.time_ns() - stat.st_mtime_ns > RACY_NS:
            memory[name] = [*key, value]
            self._changed.add(group)
        return {"path": name, "sha256": value, "bytes": stat.st_size}

    def tree(self, directory: str | Path, names: Iterable[str] | None = None) -> dict | None:
        """{"path", "sha256", "files", "members": {relative path: sha256}} of the named files of a directory.

        names: relative paths (default: all files, hidden ones excepted); those that do not exist are left out. The
        digest is that of the members, as in a model's manifest. None where there is nothing.
        """
        directory = Path(directory)
        if names is None:
            names = (str(p.relative_to(directory)) for p in directory.rglob("*") if visible(p, directory))
        group, members = shown(directory), {}
        for name in sorted(set(names)):
            path = directory / name
            if path.is_file():
                members[name] = self.file(path, group)["sha256"]
        if not members:
            return None
        return {"path": group, "sha256": digest(members), "files": len(members), "members": members}

    def save(self) -> None:
        for group in self._changed:
            path = self._path(group)
            write(path, json.dumps({**_read(path), **self._known[group]}))
        self._changed.clear()

    def _memory(self, group: str) -> dict:
        if group not in self._known:
            self._known[group] = _read(self._path(group))
        return self._known[group]

    def _path(self, group: str) -> Path:
        return self.root / f"{hashlib.sha256(group.encode()).hexdigest()[:24]}.json"


def visible(path: Path, root: Path) -> bool:
    """Whether it is a file that no part of the path below ``root`` hides."""
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)


def write(path: Path, text: str) -> None:
    """Replace a file whole. Unlike ``files.atomic`` it does not wait for the disk: what is lost is made again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(name, 0o644)
    os.replace(name, path)


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
