"""Which files of a directory are really opened, by Python or by compiled code: the kernel tells (inotify, Linux)."""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_OPEN, _ISDIR, _NONBLOCK = 0x20, 0x40000000, 0o4000


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[set[str]]:
    """A set that, afterwards, holds the files below ``directory`` that were opened meanwhile, as relative paths."""
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.inotify_init1(_NONBLOCK)
    if queue < 0:
        raise OSError(ctypes.get_errno(), "no inotify")
    folders = {}
    for folder in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        folders[libc.inotify_add_watch(queue, os.fsencode(folder), _OPEN)] = folder.relative_to(directory)
    found: set[str] = set()
    try:
        yield found
        with contextlib.suppress(BlockingIOError):
            while events := os.read(queue, 1 << 20):
                found.update(_files(events, folders))
    finally:
        os.close(queue)


def _files(events: bytes, folders: dict[int, Path]) -> Iterator[str]:
    while events:
        watch, mask, _, length = struct.unpack_from("iIII", events)
        name = events[16 : 16 + length].rstrip(b"\0").decode()
        events = events[16 + length :]
        if name and not mask & _ISDIR:
            yield (folders[watch] / name).as_posix()
