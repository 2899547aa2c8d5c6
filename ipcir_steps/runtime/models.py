"""``ipcir models``: fetch a model, or describe a local one, and record the digest of every file in a manifest."""

import argparse
import contextlib
import dataclasses
import glob
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ipcir_steps.core import paths
from ipcir_steps.core.arguments import InFile, OutManifest, Scratch
from ipcir_steps.core.errors import InputError, IPCIRError, ModelError
from ipcir_steps.core.files import digest, inside, open_part, read_json, write_json
from ipcir_steps.core.manifests import Manifest, describe, remember
from ipcir_steps.core.progress import Progress
from ipcir_steps.core.units import size
from ipcir_steps.runtime import hub
from ipcir_steps.runtime.model_files import LOADERS, Repository, wanted

log = logging.getLogger("models")


@dataclasses.dataclass(frozen=True)
class Request:
    """A model of the configuration, as the options of the command name it."""

    name: str
    source: str
    directory: Path
    revision: str | None = None
    sha256: str | None = None
    role: str | None = None
    dtype: str = "auto"
    file: str | None = None
    key: str | None = None

    @property
    def where(self) -> str:
        """What a message calls it: its key in the configuration."""
        return self.key or f"stacks.NAME.models.{self.name}"

    @property
    def local(self) -> bool:
        return Path(self.source).exists() or self.source.startswith((".", "/"))


def fetch(request: Request) -> Manifest:
    """Describe a local model, or bring the files of a hub repository that the role's loader reads into the directory.

    Every file is compared with the digest that the hub states. Raises ModelError when something cannot be had, is
    damaged, or has another digest than ``request.sha256`` (of a single file, or of the manifest of a directory).
    """
    if request.local:
        manifest = describe(request.name, request.source, request.source, request.revision, request.where)
    else:
        with _one_at_a_time(request.directory):
            manifest = _fetch(request)
    found = next(iter(manifest.files.values())) if Path(manifest.path).is_file() else manifest.digest
    if request.sha256 and found != request.sha256:
        raise ModelError(
            f"model {request.where}: {manifest.path} has sha256 {found}, not {request.sha256} "
            f"({request.where}.sha256). Fetch the right file, or correct the digest if you trust this one."
        )
    return manifest


def survey(request: Request) -> tuple[hub.Snapshot, list[hub.RemoteFile]]:
    """The commit that a hub repository is at, and the files of it that the role's loader reads, with their sizes.

    Small JSON files that decide about others are read, and kept for the download. Raises ModelError.
    """
    key = request.where
    if not request.revision:
        raise ModelError(f"model {key}: hub id {request.source!r} needs a pinned revision ({key}.revision).")
    snapshot = hub.open_snapshot(key, request.source, request.revision, request.directory)
    snapshot = dataclasses.replace(snapshot, others=_others(request, snapshot.commit))

    def read(file: str) -> dict:
        try:
            return json.loads(snapshot.content(snapshot.files[file]))
        except ValueError as error:
            raise ModelError(f"model {key}: {file} of {request.source} is not valid JSON ({error}).") from error

    repository = Repository(request.source, snapshot.files, read)
    names = wanted(repository, request.role, request.dtype != "float32", request.file)
    return snapshot, [snapshot.files[file] for file in names]


def _fetch(request: Request) -> Manifest:
    snapshot, files = survey(request)
    _make_way(request, snapshot.commit, {file.name for file in files})
    missing = sum(snapshot.missing(file) for file in files)
    log.info(
        "%s: %s in %d files of %s at commit %s, %s of them to fetch into %s",
        request.name, size(sum(file.size for file in files)), len(files), request.source, snapshot.commit,
        size(missing), request.directory,
    )  # fmt: skip
    free = shutil.disk_usage(request.directory).free
    if missing > free:
        raise ModelError(
            f"model {request.where}: {size(missing)} are to be fetched and only {size(free)} are free at "
            f"{request.directory}. Free disk space, or make resources/models a link to a larger disk."
        )
    with Progress(f"{request.name}, MB", missing // 10**6) as progress:
        told = _in_megabytes(progress)
        digests = {file.name: snapshot.download(file, told) for file in files}
    snapshot.forget_parts(files)
    path = request.directory
    if request.file is not None:
        path, digests = path / request.file, {Path(request.file).name: digests[request.file]}
    asked = request.revision if request.revision != snapshot.commit else None
    return Manifest(request.name, request.source, snapshot.commit, str(path), digests, asked)


@contextlib.contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """A repository that is wanted for two roles at once is fetched for one of them, then taken over for the other."""
    with contextlib.ExitStack() as stack:
        if _of_workflow(directory):
            place = Path(tempfile.gettempdir()) / f"ipcir-models-{os.getuid()}"
            with contextlib.suppress(IPCIRError):  # where nothing can be locked, each fetches its own
                stack.enter_context(open_part(place / f"{digest([str(Path.cwd()), directory.name])}.lock"))
        yield


def _others(request: Request, commit: str) -> tuple[Path, ...]:
    """Directories of other roles with files of the same commit of the repository."""
    found, own = [], request.directory.resolve()
    beside = f"*/{glob.escape(own.name)}/{hub.OWN}/snapshot.json"
    for note in sorted(own.parent.parent.glob(beside)) if _of_workflow(own) else ():
        directory, known = note.parent.parent, read_json(note)
        if (known.get("source"), known.get("commit")) == (request.source, commit) and directory != own:
            found.append(directory)
    return tuple(found)


def _of_workflow(directory: Path) -> bool:
    """Whether it is that of a role, as the workflow lays them out."""
    return directory.resolve().parent.parent == Path(paths.MODELS).resolve()


def _make_way(request: Request, commit: str, names: set[str]) -> None:
    """Note which files will be here, and remove those that an earlier commit or setting left, and only those.

    Says when a branch or tag has moved since. Raises ModelError when there are files that came otherwise: a loader
    could read them, and no digest would vouch for them.
    """
    note = request.directory / hub.OWN / "snapshot.json"
    before = read_json(note) if note.is_file() else {"files": []}
    same = (before.get("source"), before.get("asked")) == (request.source, request.revision)
    if same and before["commit"] != commit:
        log.warning(moved(request.name, request.source, request.revision, before["commit"], commit))
    paths = [path for path in request.directory.rglob("*") if not path.is_dir()]
    here = {path.relative_to(request.directory).as_posix() for path in paths}
    here = {name for name in here if not name.startswith(f"{hub.OWN}/")}
    if foreign := sorted(here - names - set(before["files"])):
        raise ModelError(
            f"model {request.where}: {request.directory} holds files that are not among those of {request.source} "
            f"that its loader reads ({len(foreign)}: {', '.join(foreign[:3])}, …). Remove them, or the directory."
        )
    for name in here - names:
        inside(request.directory, name).unlink()
    write_json(note, {"source": request.source, "asked": request.revision, "commit": commit, "files": sorted(names)})


def moved(name: str, source: str, asked: str, before: str, now: str) -> str:
    return f"{name}: {asked!r} of {source} has moved from commit {before} to {now} since it was fetched"


def _in_megabytes(progress: Progress) -> Callable[[int], None]:
    """A function that is told bytes and advances by whole megabytes."""
    rest = 0

    def told(count: int) -> None:
        nonlocal rest
        whole, rest = divmod(rest + count, 10**6)
        progress.advance(whole)

    return told


def tell_moves(manifests: Sequence[Path]) -> int:
    """Say of each manifest that was made from a branch or tag whether that has moved. Returns how many have.

    What was fetched stays what runs use; a hub that does not answer is no error here.
    """
    count = 0
    for path in manifests:
        manifest = Manifest(**read_json(path))
        if manifest.asked is None:
            continue
        try:
            key = f"stacks.NAME.models.{manifest.name}"
            now = hub.open_snapshot(key, manifest.source, manifest.asked, Path(manifest.path)).commit
        except ModelError as error:
            log.warning("whether it has moved is not known: %s", error)
            continue
        if now != manifest.revision:
            count += 1
            told = moved(manifest.name, manifest.source, manifest.asked, manifest.revision, now)
            log.warning("%s. What was fetched stays in use; delete %s and fetch again to take the new one.", told, path)
    return count


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="the model's name in config.yaml")
    parser.add_argument("--key", help="where config.yaml has it, for messages: stacks.NAME.models.ROLE")
    parser.add_argument("--source", help="hub id, local directory or file")
    parser.add_argument("--revision", help="commit, tag or branch of the hub repository; the commit is recorded")
    parser.add_argument("--role", help=f"who reads it: {', '.join(LOADERS)}; any other fetches the whole repository")
    parser.add_argument("--dtype", default="auto", help="float32 takes full precision where a repository has both")
    parser.add_argument("--file", help="the one file of the repository that is the model")
    parser.add_argument("--sha256", help="digest that the file, or the manifest of a directory, must have")
    parser.add_argument("--directory", type=Scratch, help="where a hub snapshot is stored; nothing else may lie there")
    parser.add_argument("--sizes", action="store_true", help="list what would be fetched, and fetch nothing")
    parser.add_argument("--output", type=OutManifest, help="manifest to write (JSON)")
    parser.add_argument("--moved", type=InFile, nargs="+", metavar="MANIFEST", help="say which branches have moved")


def main(args: argparse.Namespace) -> None:
    if args.moved:
        tell_moves(args.moved)
        return
    for option in ("name", "source", "directory", *(() if args.sizes else ("output",))):
        if getattr(args, option) is None:
            raise InputError("is needed", field=f"--{option}")
    fields = {field.name: getattr(args, field.name) for field in dataclasses.fields(Request)}
    request = Request(**fields)
    if args.sizes:
        list_sizes(request)
        return
    manifest = fetch(request)
    log.info("%s: %d files, digest %s", manifest.name, len(manifest.files), manifest.digest)
    write_json(args.output, dataclasses.asdict(manifest))
    remember(manifest, args.output)


def list_sizes(request: Request) -> None:
    if request.local:
        print(f"{request.name}: {request.source} is on this machine; nothing is fetched")
        return
    snapshot, files = survey(request)
    for file in files:
        print(f"{file.size:>15,}  {file.name}")
    total = sum(file.size for file in files)
    print(f"{total:>15,}  {size(total)} of {request.source} at commit {snapshot.commit}, {len(files)} files")
