"""Models on disk: a manifest names the directory (or file) and the digest of each file in it."""

import argparse
import dataclasses
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ipcir_steps.errors import ModelError
from ipcir_steps.files import digest, read_json, sha256, write_json

log = logging.getLogger("models")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What ``ipcir models`` records. path: directory or single file; files: {relative path: sha256}."""

    name: str
    source: str
    revision: str | None
    path: str
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """One sha256 for all files: the identity of the model, independent of where it lies."""
        return digest(self.files)


def describe(name: str, source: str, path: str | Path, revision: str | None = None) -> Manifest:
    """Hash what lies at ``path``. Raises ModelError when nothing does."""
    path = Path(path)
    if path.is_file():
        return Manifest(name, source, revision, str(path), {path.name: sha256(path)})
    files = sorted(p for p in path.rglob("*") if p.is_file() and ".cache" not in p.relative_to(path).parts)
    if not files:
        raise ModelError(
            f"model '{name}': nothing at {path}. Set models.{name} to a model's directory or hub id in "
            "config.yaml, or run `snakemake prefetch` where there is a network."
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
    root = Path(manifest.path)
    seen_path = where.with_name(f".{where.name}.verified")
    try:
        seen = json.loads(seen_path.read_text())
    except (OSError, ValueError):
        seen = {}
    now = {}
    for name, expected in manifest.files.items():
        file = root if root.is_file() else root / name
        remedy = f"Delete {where} and run again to fetch or rebuild the model."
        if not file.is_file():
            raise ModelError(f"model '{manifest.name}': {file} is missing. {remedy}")
        stat = file.stat()
        now[name] = [expected, stat.st_size, stat.st_mtime_ns, stat.st_ino]
        if now[name] != seen.get(name) and sha256(file) != expected:
            raise ModelError(f"model '{manifest.name}': {file} has changed since it was recorded. {remedy}")
    if now != seen and os.access(where.parent, os.W_OK):
        write_json(seen_path, now)


def fetch(name: str, source: str, revision: str | None, directory: Path, expected: str | None = None) -> Manifest:
    """Describe a local model, or download a hub snapshot at a pinned revision into ``directory``.

    Every downloaded file is compared with the digest that the hub states. expected: the sha256 that a single file, or
    the manifest of a directory, must have. Raises ModelError when a digest differs.
    This is the only function of the project that opens a network connection for models.
    """
    manifest = _fetch(name, source, revision, directory)
    found = next(iter(manifest.files.values())) if Path(manifest.path).is_file() else manifest.digest
    if expected and found != expected:
        raise ModelError(
            f"model '{name}': {manifest.path} has sha256 {found}, not {expected} (models.{name}.sha256). "
            "Fetch the right file, or correct the digest when you trust this one."
        )
    return manifest


def _fetch(name: str, source: str, revision: str | None, directory: Path) -> Manifest:
    if Path(source).exists() or source.startswith((".", "/")):
        return describe(name, source, source, revision)
    if not revision:
        raise ModelError(f"model '{name}': hub id {source!r} needs a pinned revision (models.{name}.revision).")
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        info = HfApi().model_info(source, revision=revision, files_metadata=True)
        revision = info.sha  # a branch or tag becomes its commit
        snapshot_download(source, revision=revision, local_dir=directory)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"model '{name}': {source}@{revision} could not be fetched ({error}). Run `snakemake prefetch` "
            f"where there is a network, or set models.{name}.source to a local directory."
        ) from error
    for entry in info.siblings:
        problem = _damage(directory / entry.rfilename, entry)
        if problem:
            (directory / entry.rfilename).unlink(missing_ok=True)
            raise ModelError(f"model '{name}': {entry.rfilename} of {source}@{revision} {problem}. Fetch it again.")
    return describe(name, source, directory, revision)


def _damage(file: Path, entry) -> str | None:
    """What is wrong with a downloaded file: large ones have a sha256 on the hub, small ones the digest of git."""
    if not file.is_file():
        return "was not downloaded"
    if entry.lfs is not None:
        return None if sha256(file) == entry.lfs.sha256 else "is not what the hub has (sha256 differs)"
    if entry.blob_id is None:
        return None
    content = file.read_bytes()
    blob = hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
    return None if blob == entry.blob_id else "is not what the hub has (git digest differs)"


def place(device: str, dtype: str = "auto") -> tuple[str, str]:
    """Where and in which number format a transformers model runs: "auto" is a GPU when there is one, and float32 on
    a CPU. Loading bars are silenced where nobody watches."""
    import torch
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return device, "float32" if dtype == "auto" and device == "cpu" else dtype


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="the model's name in config.yaml")
    parser.add_argument("--source", required=True, help="hub id, local directory or file")
    parser.add_argument("--revision", help="commit of the hub repository")
    parser.add_argument("--sha256", help="digest that the file, or the manifest of a directory, must have")
    parser.add_argument("--directory", type=Path, required=True, help="where a hub snapshot is stored")
    parser.add_argument("--output", type=Path, required=True, help="manifest to write (JSON)")


def main(args: argparse.Namespace) -> None:
    manifest = fetch(args.name, args.source, args.revision, args.directory, args.sha256)
    log.info("%s: %d files, digest %s", manifest.name, len(manifest.files), manifest.digest)
    write_json(args.output, dataclasses.asdict(manifest))
