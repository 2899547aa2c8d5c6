"""``ipcir models``: fetch a model, or describe a local one, and record the digest of every file in a manifest."""

import argparse
import dataclasses
import hashlib
import logging
from pathlib import Path

from ipcir_steps.core.arguments import OutManifest, Scratch
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.files import sha256, write_json
from ipcir_steps.core.manifests import Manifest, describe

log = logging.getLogger("models")


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


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="the model's name in config.yaml")
    parser.add_argument("--source", required=True, help="hub id, local directory or file")
    parser.add_argument("--revision", help="commit of the hub repository")
    parser.add_argument("--sha256", help="digest that the file, or the manifest of a directory, must have")
    parser.add_argument("--directory", type=Scratch, required=True, help="where a hub snapshot is stored")
    parser.add_argument("--output", type=OutManifest, required=True, help="manifest to write (JSON)")


def main(args: argparse.Namespace) -> None:
    manifest = fetch(args.name, args.source, args.revision, args.directory, args.sha256)
    log.info("%s: %d files, digest %s", manifest.name, len(manifest.files), manifest.digest)
    write_json(args.output, dataclasses.asdict(manifest))
