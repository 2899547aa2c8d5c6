"""Models on disk: a manifest names the directory (or file) and the digest of each file in it."""

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.files import digest, read_json, sha256, write_json


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What ``ipcir models`` records.

    path: directory or single file; files: {relative path: sha256}; revision: commit of a hub repository; asked: the
    branch or tag that was asked for, where it was not the commit itself.
    """

    name: str
    source: str
    revision: str | None
    path: str
    files: dict[str, str]
    asked: str | None = None

    @property
    def digest(self) -> str:
        """One sha256 for all files: the identity of the model, independent of where it lies."""
        return digest(self.files)


def describe(
    name: str, source: str, path: str | Path, revision: str | None = None, key: str = "stacks.NAME.models.ROLE"
) -> Manifest:
    """Hash what lies at ``path``. Raises ModelError when nothing does. key: in config.yaml, for the message."""
    path = Path(path)
    if path.is_file():
        return Manifest(name, source, revision, str(path), {path.name: sha256(path)})
    files = sorted(p for p in path.rglob("*") if p.is_file() and ".cache" not in p.relative_to(path).parts)
    if not files:
        raise ModelError(
            f"model '{name}': nothing at {path}. Set {key}.source in config.yaml to a model's directory or hub "
            "id, or run `snakemake prefetch` where there is a network."
        )
    return Manifest(name, source, revision, str(path), {str(p.relative_to(path)): sha256(p) for p in files})


def load_manifest(path: str | Path) -> Manifest:
    """Read a manifest and verify its files, by size and time when they were verified before, else by sha256.

    A directory or a model file in place of a manifest is taken as it is (for use from Python).
    Raises ModelError naming the first file that is missing or changed.
    """
    path = Path(path)
    if path.is_dir() or path.suffix != ".json":
        return describe(path.name, str(path), path)
    manifest = Manifest(**read_json(path))
    verify(manifest, path)
    return manifest


def check(manifest: Manifest, directory: str | Path = ".") -> Iterator[tuple[Path, str]]:
    """(file, what is wrong) of each file that is not what the manifest says, by sha256 whatever was verified before.

    directory: what relative paths in the manifest are relative to.
    """
    root = Path(directory) / manifest.path
    for name, expected in manifest.files.items():
        file = root if root.is_file() else root / name
        if not file.is_file():
            yield file, "is missing"
        elif sha256(file) != expected:
            yield file, "has changed since it was recorded"


def verify(manifest: Manifest, where: Path) -> None:
    """Raise ModelError naming the first file that is missing or changed; remember that it was none. where: its file."""
    try:
        seen = json.loads(_memory(where).read_text())
    except (OSError, ValueError):
        seen = {}
    now = {}
    for name, expected in manifest.files.items():
        file = _file(manifest, name)
        remedy = f"Delete {where} and run again to fetch or rebuild the model."
        if not file.is_file():
            raise ModelError(f"model '{manifest.name}': {file} is missing. {remedy}")
        now[name] = _stamp(expected, file)
        if now[name] != seen.get(name) and sha256(file) != expected:
            raise ModelError(f"model '{manifest.name}': {file} has changed since it was recorded. {remedy}")
    if now != seen and os.access(where.parent, os.W_OK):
        write_json(_memory(where), now)


def remember(manifest: Manifest, where: Path) -> None:
    """Note that the files were verified just now, as they were when they were hashed for this manifest."""
    stamps = {name: _stamp(expected, _file(manifest, name)) for name, expected in manifest.files.items()}
    write_json(_memory(where), stamps)


def _memory(where: Path) -> Path:
    return where.with_name(f".{where.name}.verified")


def _file(manifest: Manifest, name: str) -> Path:
    root = Path(manifest.path)
    return root if root.is_file() else root / name


def _stamp(expected: str, file: Path) -> list:
    stat = file.stat()
    return [expected, stat.st_size, stat.st_mtime_ns, stat.st_ino]
