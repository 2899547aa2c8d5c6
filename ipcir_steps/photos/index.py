"""``ipcir index``: the features of every photo in a folder, kept up to date.

Only new and changed files are read; files that were renamed or copied keep their features; those that are gone leave.
Each batch is stored before the next begins, so a run that is stopped goes on where it was.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ipcir_steps.core.arguments import Directory, Root
from ipcir_steps.core.errors import InputError

log = logging.getLogger("photos")
SHOWN = 20  # unreadable files that are named on the terminal
PAUSE = 2.0  # seconds between two looks at a folder that is watched; at least as long as a look takes, ten times


@dataclasses.dataclass
class Changes:
    """What one update did, in photos. seconds: the time it took; encoding: the part with the model loaded."""

    photos: int = 0
    read: int = 0
    moved: int = 0
    removed: int = 0
    unreadable: int = 0
    copies: int = 0
    seconds: float = 0.0
    encoding: float = 0.0

    def __str__(self) -> str:
        rate = f", {self.read / self.encoding:.1f} photos/s" if self.read and self.encoding else ""
        return (
            f"{self.photos} photos: {self.read} read, {self.moved} renamed or copied, {self.removed} removed,"
            f" {self.copies} the same bytes as another, {self.unreadable} unreadable;"
            f" {self.seconds:.1f} s{rate}"
        )


def arguments(parser: argparse.ArgumentParser) -> None:
    folder_arguments(parser)
    parser.add_argument("--watch", action="store_true", help="go on, and follow what changes in the folder")
    parser.add_argument("--batch", type=int, help="photos encoded together; default: the stack's")
    parser.add_argument("--workers", type=int, help="threads that decode photos; default: the stack's")


def folder_arguments(parser: argparse.ArgumentParser) -> None:
    """What index, search and serve have in common."""
    from ipcir_steps.photos.pictures import MEGAPIXELS

    parser.add_argument("folder", type=Root, metavar="FOLDER", help="the folder of photos")
    parser.add_argument(
        "--index", type=Directory, metavar="DIR", help="where the index is kept; default: in your data directory"
    )
    parser.add_argument(
        "--stack",
        metavar="NAME",
        help="models to use, or a configuration file (.yaml); default: laptop, or toy models until it is fetched",
    )
    parser.add_argument(
        "--megapixels", type=float, default=MEGAPIXELS, metavar="M", help="largest picture that is opened (%(default)s)"
    )


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.photos.models import opened

    models = opened(args)
    settings = models.stack.config.embeddings
    given = {"batch_size": args.batch, "workers": args.workers}
    settings = settings.model_copy(update={name: value for name, value in given.items() if value})
    directory = directory_of(args.folder, args.index, models.stack.name)
    changes, problems = update(args.folder, directory, models, settings)
    print(changes)
    for name, problem in list(problems.items())[:SHOWN]:
        print(f"unreadable: {name!r}: {problem}")
    if len(problems) > SHOWN:
        print(f"… and {len(problems) - SHOWN} more")
    sys.stdout.flush()
    if args.watch:
        with contextlib.suppress(KeyboardInterrupt):
            watch(args.folder, directory, models, settings)


def directory_of(folder: Path, index: Path | None, stack: str) -> Path:
    """Where the index of a folder for a stack is kept. Raises InputError when there is no such folder."""
    from ipcir_steps.core.cache import home

    if not folder.is_dir():
        raise InputError("is not a folder", file=folder, remedy="Name the folder of your photos.")
    if index is None:
        folder = folder.resolve()
        name = hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        index = home("data") / "ipcir/photos" / f"{folder.name or 'root'}-{name}"
    return index / stack


def update(folder: Path, directory: Path, models, settings=None, progress: bool = True) -> tuple[Changes, dict]:
    """Bring an index up to date; return what was done and {name: problem} of the files that cannot be read.

    models: ``models.Models``; its CLIP model is loaded when a file has to be read. settings: config.vision.Embeddings.
    Raises InputError when all photos are gone, as with a disk that is not mounted: nothing is removed then.
    """
    from ipcir_steps.photos.files import photos
    from ipcir_steps.photos.store import Store, owner_only

    started, folder = time.monotonic(), folder.resolve()
    found, problems = photos(folder, [directory])
    with owner_only(), Store(directory, folder) as store:
        if models.differ(store.model):
            encoder = models.encoder("image")
            store.begin(encoder.identity, encoder.dims)
        known = store.known()
        if known and not found:
            remedy = f"Is the disk there? Nothing was removed. To begin afresh, delete {directory}."
            raise InputError(f"no longer holds any photos; {len(known)} were indexed", file=folder, remedy=remedy)
        waiting = [name for name, stamp in found.items() if known.get(name, ())[:2] != tuple(stamp)]
        gone = [name for name in known if name not in found]
        changes = Changes(removed=len(gone))
        title = "photos" if progress and waiting else None
        if waiting:
            models.encoder("image")
        before = time.monotonic()
        for batch in _batches(waiting, found, folder, store, models, settings, title) if waiting else ():
            changes.moved += sum(record.get("line") is not None for record in batch)
            changes.read += sum(record.get("line") is None for record in batch)
        changes.encoding = time.monotonic() - before
        store.remove(gone)  # last: a file that was renamed finds its features under the old name
        store.compact()
        rows = store.known().values()
        problems |= {name: problem for name, (_, _, _, problem) in store.known().items() if problem}
    lines = [line for _, _, line, _ in rows if line is not None]
    changes.photos, changes.copies = len(set(lines)), len(lines) - len(set(lines))
    changes.unreadable, changes.seconds = len(problems), time.monotonic() - started
    return changes, problems


def _batches(waiting, found, folder, store, models, settings, title) -> Iterator[list[dict]]:
    """Read, encode and store the waiting files; yields the records of each batch that is stored."""
    from ipcir_steps.core.progress import Progress
    from ipcir_steps.seek.embeddings.stream import prepared

    def prepare(name: str):
        return read_photo(folder / name, {"name": name, **dict(zip(("size", "changed"), found[name], strict=True))},
                          store.same_bytes, encoder.transform)  # fmt: skip

    encoder, settings = models.encoder("image"), settings or models.stack.config.embeddings
    started, done = time.monotonic(), 0
    with Progress(title, len(found), len(found) - len(waiting)) if title else contextlib.nullcontext() as progress:
        for batch in prepared(waiting, prepare, settings.batch_size, settings.workers):
            records = [record for record, _ in batch]
            store.put(records, encode(batch, store.same_bytes, encoder))
            done += len(batch)
            if progress is not None:
                progress.advance(len(batch), rate=f"{done / (time.monotonic() - started):.1f}/s")
            yield records


def read_photo(path: Path, record: dict, same_bytes: Callable, transform: Callable):
    """(record, preprocessed picture [3, size, size]); no picture where the bytes are known or cannot be read."""
    from ipcir_steps.core.images import UNREADABLE
    from ipcir_steps.photos import pictures

    try:
        content = path.read_bytes()
        record["digest"] = hashlib.sha256(content).hexdigest()
        known = same_bytes(record["digest"])
        if known is not None:
            return {**known, **record}, None
        image = pictures.opened(path, content)
        record |= {"width": image.width, "height": image.height, "taken": pictures.taken(image)}
        pixels = transform(image)
    except InputError as error:
        return {**record, "problem": error.problem}, None
    except UNREADABLE as error:
        return {**record, "problem": str(error)}, None
    return {**record, "fingerprint": pictures.fingerprint(pixels, image)}, pixels


def encode(batch: list, same_bytes: Callable, encoder) -> dict:
    """{digest: feature [D]} of the pictures of a batch; a record whose bytes were stored meanwhile gets their line."""
    import numpy as np

    fresh = {}
    for record, pixels in batch:
        if pixels is None:
            continue
        known = same_bytes(record["digest"])  # stored since this file was read ahead
        if known is None:
            fresh[record["digest"]] = pixels
        else:
            record["line"] = known["line"]
    if not fresh:
        return {}
    values = encoder.images(list(fresh.values())).numpy()
    features = dict(zip(fresh, values, strict=True))
    odd = {digest for digest, vector in features.items() if not (np.isfinite(vector).all() and vector.any())}
    for record, _ in batch:
        if record.get("digest") in odd:
            record["problem"] = "the model gives no feature for it"
    return {digest: vector for digest, vector in features.items() if digest not in odd}


def watch(folder: Path, directory: Path, models, settings=None, told: Callable = print) -> None:
    """Look again and again, until interrupted; ``told`` gets the changes of an update that changed something."""
    while True:
        started = time.monotonic()
        try:
            changes, _ = update(folder, directory, models, settings, progress=False)
            if changes.read or changes.moved or changes.removed:
                told(changes)
                sys.stdout.flush()
        except InputError as error:
            log.warning("%s", error)
        time.sleep(max(PAUSE, 10 * (time.monotonic() - started)))
