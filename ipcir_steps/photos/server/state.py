"""What the server holds: the folder's finder, what was imagined, pictures that were sent, and the queue."""

import collections
import hashlib
import io
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ipcir_steps.core.errors import InputError, IPCIRError
from ipcir_steps.core.files import atomic, digest, inside
from ipcir_steps.photos import pictures
from ipcir_steps.photos.files import RAW
from ipcir_steps.photos.finder import Finder
from ipcir_steps.photos.gallery import Gallery
from ipcir_steps.photos.imagine import Imagination
from ipcir_steps.photos.question import Question, Reference
from ipcir_steps.photos.server.jobs import Jobs
from ipcir_steps.photos.store import private

log = logging.getLogger("photos")
KEPT = 100  # imaginations held ready for sliders; others come back from the cache
LOOK = 3.0  # seconds between two looks at the index and at idle models
THUMBNAIL, LARGE = 320, 2048  # pixels
SHOWN = {".jpg": "jpeg", ".jpeg": "jpeg", ".jpe": "jpeg", ".png": "png", ".webp": "webp", ".gif": "gif"}
# A picture that is sent is kept under its kind.
KINDS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif", "BMP": ".bmp",
         "HEIF": ".heic", "AVIF": ".avif"}  # fmt: skip


class State:
    def __init__(self, finder: Finder, seed: int, idle: float):
        self.finder, self.seed, self.idle = finder, seed, idle
        self.jobs = Jobs()
        self.imagined: collections.OrderedDict[str, Imagination] = collections.OrderedDict()
        self.uploads = finder.directory / "cache/uploads"
        self.thumbnails = finder.directory / "cache/thumbnails"
        for directory in (self.uploads, self.thumbnails):
            private(directory)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watching", daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK):
            try:
                self.refresh()
            except (IPCIRError, sqlite3.Error, OSError) as error:
                log.warning("the index cannot be read again: %s", error)
            gone = self.finder.models.unload(self.idle)
            if gone:
                log.info("unloaded after %d s without use: %s", self.idle, ", ".join(gone))

    def refresh(self) -> None:
        """Take up what ``ipcir index`` has stored since; what was imagined is made again from the cache."""
        finder = self.finder
        if Gallery.stamp_of(finder.directory) != finder.gallery.stamp:
            fresh = Finder(finder.folder, finder.directory, finder.models)
            with self._lock:
                self.finder = fresh
                self.imagined.clear()

    def close(self) -> None:
        self._closed.set()
        self.jobs.close()

    # --- pictures ---------------------------------------------------------------------------------------------------

    def file(self, line: int) -> Path:
        """The file of a photo. Raises InputError when it leads out of the folder by now."""
        finder = self.finder
        return inside(finder.folder, finder.gallery.photo(line).name)

    def thumbnail(self, source: Path, pixels: int) -> bytes:
        """A small JPEG, kept by the file's path, size and time of change."""
        try:
            stat = source.stat()
        except OSError as error:
            raise InputError("the file is gone", file=source.name) from error
        if pixels != THUMBNAIL:
            return pictures.thumbnail(source, pixels)
        key = hashlib.sha256(f"{source}|{stat.st_size}|{stat.st_mtime_ns}".encode("utf-8", "replace")).hexdigest()
        path = self.thumbnails / key[:2] / f"{key}.jpg"
        if not path.is_file():
            private(path.parent)
            with atomic(path) as temporary:
                temporary.write_bytes(pictures.thumbnail(source, pixels))
        return path.read_bytes()

    def shown(self, source: Path) -> tuple[bytes, str]:
        """A photo as a browser can show it, and its content type."""
        kind = SHOWN.get(source.suffix.lower())
        if kind is None or source.suffix.lower() in RAW:
            return pictures.thumbnail(source, LARGE), "image/jpeg"
        pictures.kind_of(source)
        return source.read_bytes(), f"image/{kind}"

    def upload(self, content: bytes) -> str:
        """Keep a picture that was sent; its name. Raises InputError for anything that does not decode."""
        kind = pictures.kind_of(io.BytesIO(content))
        if kind is None:
            raise InputError("this is not a picture that can be read")
        name = hashlib.sha256(content).hexdigest()[:32] + KINDS[kind]
        pictures.opened(Path(name), content)
        with atomic(self.uploads / name) as temporary:
            temporary.write_bytes(content)
        return name

    def uploaded(self, name: str) -> Path:
        """The file of an upload. Raises InputError when there is none; the name may be anything."""
        stem, dot, suffix = name.partition(".")
        known = len(stem) == 32 and set(stem) <= set("0123456789abcdef") and dot + suffix in KINDS.values()
        if not known or not (self.uploads / name).is_file():
            raise InputError("this picture is no longer there; send it again", field="references")
        return self.uploads / name

    def reference(self, line: int | None, upload: str | None, weight: float) -> Reference:
        if upload is not None:
            return Reference(self.uploaded(upload).name, self.uploads, None, weight)
        try:
            return Reference(self.finder.gallery.photo(line).name, self.finder.folder, line, weight)
        except KeyError:
            raise InputError("this photo is no longer there", field="references") from None

    # --- what is imagined -------------------------------------------------------------------------------------------

    def key(self, question: Question, layout: dict | None) -> str:
        """Names what is imagined for a question; more terms and pictures do not change it, but its lists."""
        everything = [
            [question.query.query_id, self.seed, layout],
            [[part.name, part.weight] for part in question.references],
            [[part.text, part.weight] for part in question.terms],
        ]
        return digest(everything)[:24]

    def imagine(self, question: Question, layout: dict | None) -> Callable[[Callable[[], bool]], Iterator[dict]]:
        """The work of a job. What it made is in ``imagined`` under its key when it has told "done"."""
        key = self.key(question, layout)

        def work(stop: Callable[[], bool]) -> Iterator[dict]:
            imagination = Imagination(self.finder, question, self.seed, stop)
            for event in imagination.run(layout):
                with self._lock:
                    self.imagined[key] = imagination
                    self.imagined.move_to_end(key)
                    while len(self.imagined) > KEPT:
                        self.imagined.popitem(last=False)
                yield event

        return work

    def imagination(self, key: str) -> Imagination | None:
        with self._lock:
            found = self.imagined.get(key)
            if found is not None:
                self.imagined.move_to_end(key)
            return found
