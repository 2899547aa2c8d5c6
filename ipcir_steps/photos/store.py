"""The index on disk: a table of photos (SQLite), and their features in files that only grow.

``photos.sqlite`` says what is known; ``features.{generation}.f32`` holds the features as the encoder gave them, row by
row, ``features.{generation}.f16`` the normalised ones that are searched. Features are written first and the table after
them, so a process that is killed at any moment leaves an index that is whole; what lies behind the last row that the
table knows is written over. A row is never used twice: who has the files open keeps a consistent picture.
"""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import alone

VERSION = 1
_SPARE = 1000  # rows of photos that are gone before the files are written anew
_BLOCK = 8192  # rows that are copied at once
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS photos (
  name TEXT PRIMARY KEY, size INTEGER NOT NULL, changed INTEGER NOT NULL, digest TEXT, line INTEGER,
  width INTEGER, height INTEGER, taken TEXT, fingerprint INTEGER, problem TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_digest ON photos (digest);
"""
COLUMNS = ("name", "size", "changed", "digest", "line", "width", "height", "taken", "fingerprint", "problem")


class Store:
    """An index opened for writing, by one process at a time; ``directory`` and its files are the user's alone."""

    def __init__(self, directory: Path, folder: Path):
        """Raises InputError when the directory holds the index of another folder, or another process writes it."""
        self.directory = directory
        private(directory)
        self._lock = alone(directory / "lock")
        self.table = connect(directory / "photos.sqlite")
        self.table.executescript(_TABLES)
        _check_folder(self.about("folder"), folder, directory)
        with self.table:
            self._tell(folder=str(folder))
        self.model: dict = self.about("model") or {}
        self.dims, self.lines = self.about("dims") or 0, self.about("lines") or 0
        rows = self.table.execute("SELECT digest FROM photos WHERE line IS NOT NULL")
        self._digests = {_short(digest) for (digest,) in rows}
        self._tidy()

    def begin(self, model: dict, dims: int) -> None:
        """Take in features of another model [n, dims]: all that was known is dropped."""
        with self.table:
            self.table.execute("DELETE FROM photos")
            generation = (self.about("generation") or 0) + 1
            self._tell(version=VERSION, model=model, dims=dims, lines=0, generation=generation)
        self.model, self.dims, self.lines = model, dims, 0
        self._digests.clear()
        self._tidy()

    def about(self, name: str):
        return about(self.table, name)

    def _tell(self, **values) -> None:
        rows = [(name, json.dumps(value, sort_keys=True)) for name, value in values.items()]
        self.table.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", rows)

    def path(self, kind: str) -> Path:
        return features_path(self.directory, self.about("generation") or 0, kind)

    def _tidy(self) -> None:
        """Remove the files of other generations, and cut the files of this one to what the table knows."""
        mine = {self.path(kind) for kind in ("f32", "f16")}
        for path in self.directory.glob("features.*"):
            if path not in mine:
                path.unlink()
        for kind, width in (("f32", 4), ("f16", 2)):
            path, size = self.path(kind), self.lines * self.dims * width
            path.touch(mode=0o600)
            if path.stat().st_size < size:
                remedy = f"Delete the directory {self.directory} and index again."
                raise InputError("is cut short", file=path, remedy=remedy)
            os.truncate(path, size)

    def known(self) -> dict[str, tuple[int, int, int | None, str | None]]:
        """{name: (size, time of change, line, problem)}."""
        rows = self.table.execute("SELECT name, size, changed, line, problem FROM photos")
        return {name: (size, changed, line, problem) for name, size, changed, line, problem in rows}

    def same_bytes(self, digest: str) -> dict | None:
        """The record of a photo with these bytes and a feature, if there is one; photos that are gone have none."""
        if _short(digest) not in self._digests:  # nearly always; asking the table makes the threads wait for each other
            return None
        cursor = self.table.execute(
            f"SELECT {', '.join(COLUMNS)} FROM photos WHERE digest = ? AND line IS NOT NULL LIMIT 1", (digest,)
        )
        row = cursor.fetchone()
        return dict(zip(COLUMNS, row, strict=True)) if row else None

    def put(self, records: list[dict], features: dict[str, np.ndarray]) -> None:
        """Add or replace records, durably and all together.

        features: {digest: float32 [D]} of bytes that are new; their records get the next lines. Other records bring
        their ``line``, or none when they have a ``problem``.
        """
        new = {digest: self.lines + number for number, digest in enumerate(features)}
        values = np.array(list(features.values()), np.float32).reshape(-1, self.dims)
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
            files = [stack.enter_context(open(self.path(kind), "ab")) for kind in ("f32", "f16")]
            for file, part in zip(files, (values, half(values)), strict=True):
                part.tofile(file)
                file.flush()
            list(pool.map(os.fsync, [file.fileno() for file in files]))  # together they take as long as one
        rows = []
        for record in records:
            line = None if record.get("problem") else record.get("line", new.get(record.get("digest")))
            rows.append([line if name == "line" else record.get(name) for name in COLUMNS])
        with self.table:
            marks = ", ".join("?" * len(COLUMNS))
            self.table.executemany(f"INSERT OR REPLACE INTO photos VALUES ({marks})", rows)
            self._tell(lines=self.lines + len(new))
        self.lines += len(new)
        self._digests.update(map(_short, new))

    def remove(self, names: Iterable[str]) -> None:
        with self.table:
            self.table.executemany("DELETE FROM photos WHERE name = ?", [(name,) for name in names])

    def compact(self) -> bool:
        """Write the feature files anew when a quarter of their rows belongs to photos that are gone; whether it did."""
        used = [row[0] for row in self.table.execute(
            "SELECT DISTINCT line FROM photos WHERE line IS NOT NULL ORDER BY line"
        )]  # fmt: skip
        if self.lines - len(used) < max(_SPARE, self.lines // 4):
            return False
        generation = self.about("generation") + 1
        for kind, dtype in (("f32", np.float32), ("f16", np.float16)):
            old = np.memmap(self.path(kind), dtype, "r", shape=(self.lines, self.dims)) if self.lines else None
            with open(features_path(self.directory, generation, kind), "wb") as file:
                for start in range(0, len(used), _BLOCK):
                    np.asarray(old[used[start : start + _BLOCK]]).tofile(file)
                file.flush()
                os.fsync(file.fileno())
        with self.table:
            self.table.executemany(
                "UPDATE photos SET line = ? WHERE line = ?", [(new, old) for new, old in enumerate(used) if new != old]
            )
            self._tell(lines=len(used), generation=generation)
        self.lines = len(used)
        self._tidy()
        return True

    def close(self) -> None:
        self.table.close()
        self._lock.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exc) -> None:
        self.close()


def private(directory: Path) -> None:
    """Make a directory that only its owner may enter."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)


def connect(path: Path, write: bool = True) -> sqlite3.Connection:
    """A connection for any thread. Raises InputError when the file is no database of ours."""
    try:
        table = sqlite3.connect(f"file:{_quoted(path)}?mode={'rwc' if write else 'ro'}", uri=True,
                                check_same_thread=False, timeout=30)  # fmt: skip
        if write:
            path.chmod(0o600)
            table.execute("PRAGMA journal_mode=WAL")
            table.execute("PRAGMA synchronous=FULL")
        table.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        remedy = f"Delete the directory {path.parent} and index again."
        raise InputError(f"cannot be opened ({error})", file=path, remedy=remedy) from error
    return table


def about(table: sqlite3.Connection, name: str):
    row = table.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
    return json.loads(row[0]) if row else None


def features_path(directory: Path, generation: int, kind: str) -> Path:
    return directory / f"features.{generation}.{kind}"


def half(values: np.ndarray) -> np.ndarray:
    """Normalised rows in float16."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def _short(digest: str) -> int:
    """64 bits of a hexadecimal digest: a set of them takes half the memory of the digests."""
    return int(digest[:16], 16)


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


def _check_folder(known: str | None, folder: Path, directory: Path) -> None:
    """An index may follow its folder to a new place, but not take in a second one."""
    if known is not None and known != str(folder) and Path(known).is_dir():
        raise InputError(
            f"is the index of {known}",
            file=directory,
            field="--index",
            remedy="Give another directory for this folder.",
        )


@contextlib.contextmanager
def owner_only() -> Iterator[None]:
    """Files made meanwhile are readable by their owner only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
