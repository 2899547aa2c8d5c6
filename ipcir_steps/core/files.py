"""Reading and writing artefacts: atomic, deterministic, and never outside their root."""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ipcir_steps.core.errors import InputError

log = logging.getLogger(__name__)
REBUILD = "Restore or rebuild the file; `ipcir doctor` says how."

# What this process read and wrote through this module: a step's record (``provenance``) is made of them. A file that is
# read stands beside the directory that it belongs to, where its record names many files of one directory together.
READ: list[tuple[Path, Path | None]] = []
WRITTEN: list[Path] = []


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it over ``path`` on success, remove it on failure.

    A reader sees the old file or the whole new one, also after ``kill -9`` or a full disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        WRITTEN.append(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def unwritable(path: str | Path, error: OSError) -> InputError:
    """What a person reads when a disk is full or a directory is closed."""
    remedy = "Free disk space or check permissions and run again; finished work is kept."
    return InputError(f"could not be written ({error.strerror or error})", file=path, remedy=remedy)


def alone(path: str | Path) -> BinaryIO:
    """Hold the lock file ``path`` as long as the result is open; the kernel lets go of it when the process ends.

    Raises InputError when another process holds it.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = file.read().decode("utf-8", "replace").strip()
        file.close()
        remedy = "Wait until it has ended, or stop it."
        raise InputError(f"another run works in this directory ({holder})", file=path, remedy=remedy) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return file


def open_part(path: str | Path) -> BinaryIO:
    """Open the file of an unfinished output for reading and writing, made when absent, for this process alone.

    A workflow that was killed may leave a step behind that still writes; this waits until that one has ended. The
    lock goes with the file's descriptor, so it never outlives a process.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        except OSError as error:
            raise unwritable(path, error) from error
        with contextlib.suppress(OSError):  # some network file systems have no locks
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("%s: waiting for another process that writes it", path)
                fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # the other process finished it meanwhile


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_jsonl(path: str | Path, records: Iterable[dict]) -> None:
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for record in records:
            file.write(dumps(record) + "\n")


def dumps(value) -> str:
    """One line of JSON: the same value always gives the same bytes."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def used(path: str | Path, below: Path | None = None) -> Path:
    """Note that a file was read by other means, as one of many ``below`` a directory or by itself; return it."""
    READ.append((Path(path), below))
    return READ[-1][0]


def used_tree(directory: str | Path) -> Path:
    """Note that a whole directory was read by other means, hidden files excepted; return it."""
    directory = Path(directory)
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(directory).parts):
            used(path, directory)
    return directory


def read_json(path: str | Path):
    path = used(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("does not exist", file=path) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not valid JSON ({error})", file=path, remedy=REBUILD) from error


def read_jsonl(path: str | Path) -> list[dict]:
    """All records of a JSON-lines file. Raises InputError naming the line that is not a JSON object."""
    path = used(path)
    records = []
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    record = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(
                        f"is not valid JSON ({error})", file=path, record=number, remedy=REBUILD
                    ) from error
                if not isinstance(record, dict):
                    raise InputError("is not a JSON object", file=path, record=number, remedy=REBUILD)
                records.append(record)
    except FileNotFoundError:
        raise InputError("does not exist", file=path) from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text ({error})", file=path, remedy=REBUILD) from error
    return records


def inside(root: str | Path, relative: str, *, file=None, record=None, field=None) -> Path:
    """``root / relative`` when that stays below ``root`` (symbolic links resolved), else InputError."""
    root = Path(root)
    path = root / relative
    escapes = PurePosixPath(relative).is_absolute() or not path.resolve().is_relative_to(root.resolve())
    if escapes or not relative or "\0" in relative:
        raise InputError(
            f"path {relative!r} leaves the directory {root}",
            file=file,
            record=record,
            field=field,
            remedy="Use a path relative to the dataset root, without '..'.",
        )
    return path


def stamp(path: str | Path | None) -> list[int] | None:
    """Size and time of change of a file, None when it is absent: whether it may hold other bytes than before."""
    try:
        found = os.stat(path) if path is not None else None
    except OSError:
        found = None
    return found and [found.st_size, found.st_mtime_ns]


def sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value) -> str:
    """sha256 of a JSON value, independent of the key order."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seed(*parts) -> int:
    """A 63-bit seed from a run seed and whatever it is for, the same on every machine and in every shard.

    >>> seed(2025, "query-7", 0) == seed(2025, "query-7", 0)
    True
    """
    return int(digest(list(parts))[:16], 16) >> 1
