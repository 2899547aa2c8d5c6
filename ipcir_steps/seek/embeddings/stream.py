"""Encode a long list block by block into a file, and continue there after a kill."""

import collections
import contextlib
import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ipcir_steps.core.files import digest, open_part, unwritable
from ipcir_steps.core.progress import Progress

AHEAD = 2  # batches
_HEADER = 64  # bytes: the sha256 of what the rows depend on, in hexadecimal


class _Rows:
    """float32 [count, D] that is filled block by block; the first one tells D. Nothing is held twice."""

    def __init__(self, count: int):
        self.values, self.done = np.zeros((count, 0), np.float32), 0

    def add(self, block: np.ndarray) -> None:
        if not self.done:
            self.values = np.empty((len(self.values), block.shape[1]), np.float32)
        self.values[self.done : self.done + len(block)] = block
        self.done += len(block)


def stream(
    items: Sequence,
    encode: Callable[[list], np.ndarray],
    output: Path,
    context: dict,
    *,
    prepare: Callable = lambda item: item,
    batch_size: int,
    workers: int = 1,
    title: str,
) -> np.ndarray:
    """float32 [len(items), D]: ``encode`` of ``prepare``\\ d items, batch by batch.

    Every finished batch is appended with its checksum to ``{output}.part``; a later call with the same items and
    context takes it over. ``prepare`` runs in threads, two batches ahead of ``encode``. The caller removes the
    part file (:func:`discard`) once the output is written. Memory: three batches plus the result.
    """
    part = part_of(output)
    identity = digest([context, list(map(str, items)), batch_size]).encode()
    with open_part(part) as file:
        rows = _Rows(len(items))
        size = _recover(file, identity, rows)
        file.truncate(size)
        file.seek(size)
        if not size:
            _write(file, identity, part)
        with Progress(title, len(items), rows.done) as progress:
            for batch in prepared(items[rows.done :], prepare, batch_size, workers):
                block = np.ascontiguousarray(encode(batch), dtype=np.float32)
                data = block.tobytes()
                note = json.dumps([*block.shape, zlib.crc32(data)]).encode().ljust(_HEADER)
                _write(file, note + data, part)
                rows.add(block)
                progress.advance(len(batch))
        os.fsync(file.fileno())
    return rows.values


def where_readable(encode: Callable[[list], np.ndarray], dims: int) -> Callable[[list], np.ndarray]:
    """``encode`` ([n, dims] of a batch) for batches in which items that could not be read are None: zero rows."""

    def encoded(batch: list) -> np.ndarray:
        values = np.zeros((len(batch), dims), np.float32)
        rows = [row for row, item in enumerate(batch) if item is not None]
        if rows:
            values[rows] = encode([batch[row] for row in rows])
        return values

    return encoded


def _write(file: BinaryIO, data: bytes, part: Path) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        with contextlib.suppress(OSError):
            file.close()  # now: what is still buffered would fail again later
        raise unwritable(part, error) from error


def part_of(output: Path) -> Path:
    return output.with_name(output.name + ".part")


def discard(output: Path) -> None:
    part_of(output).unlink(missing_ok=True)


def _recover(file: BinaryIO, identity: bytes, rows: _Rows) -> int:
    """Take over the intact batches of an earlier run; returns the number of bytes that they take."""
    if file.read(_HEADER) != identity:
        return 0
    size = _HEADER
    while True:
        try:
            count, dims, checksum = json.loads(file.read(_HEADER))
        except ValueError:
            return size
        data = file.read(count * dims * 4)
        if len(data) < count * dims * 4 or zlib.crc32(data) != checksum:
            return size
        rows.add(np.frombuffer(data, np.float32).reshape(count, dims))
        size = file.tell()


def prepared(items: Sequence, prepare: Callable, batch_size: int, workers: int) -> Iterator[list]:
    """``items`` in batches, ``prepare``d in threads, two batches ahead of the one that is worked on: with one, the
    threads would have nothing to do while that one is stored."""
    with ThreadPoolExecutor(workers) as pool:
        starts = range(0, len(items), batch_size)
        futures = ([pool.submit(prepare, item) for item in items[start : start + batch_size]] for start in starts)
        ahead = collections.deque(itertools.islice(futures, 1 + AHEAD))
        while ahead:
            yield [future.result() for future in ahead.popleft()]
            ahead.extend(itertools.islice(futures, 1))
