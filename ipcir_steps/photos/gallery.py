"""An index opened for searching: who the photos are, and the similarity of a vector to all of them."""

import dataclasses
import datetime
import functools
import sqlite3
from pathlib import Path

import numpy as np
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.photos.store import VERSION, about, connect, features_path

_ROUNDED = 2.0**-11  # the most that rounding to float16 changes a number by, of its size
_SUMMED = 1e-5  # more than adding up in float32 changes a similarity by, of the vector's norm
_TRIES = 3  # an index may be written anew between reading its table and opening its files


@dataclasses.dataclass(frozen=True)
class Photo:
    """One photo. name: path below the folder; taken: ISO time by its camera, else when the file was last changed;
    others: names of files with the same bytes."""

    line: int
    name: str
    width: int
    height: int
    taken: str
    fingerprint: int
    others: tuple[str, ...] = ()


class Gallery:
    """What ``ipcir index`` stored, read once. lines: rows of the feature files, which photos are named by here.

    values: float32 [lines, D], un-normalised, memory-mapped. order: int64 [lines], the rank of a line's name in the
    order of names, -1 of lines without a photo (gone); similarities of these mean nothing. model: of the encoder.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        path = directory / "photos.sqlite"
        if not path.is_file():
            raise InputError("there is no index", file=directory, remedy="Make it with ipcir index.")
        for attempt in range(_TRIES):
            try:
                self._read(path)
                break
            except FileNotFoundError:
                if attempt == _TRIES - 1:
                    raise InputError("has lost its features", file=directory, remedy="Index again.") from None

    def _read(self, path: Path) -> None:
        table = connect(path, write=False)
        try:
            table.execute("BEGIN")
            if about(table, "version") != VERSION:
                raise InputError(
                    "was made by another version", file=path, remedy="Delete its directory and index again."
                )
            self.folder, self.model = Path(about(table, "folder")), about(table, "model")
            self.dims, lines, generation = (about(table, name) for name in ("dims", "lines", "generation"))
            self.stamp = _stamp(table)
            rows = table.execute(
                "SELECT line, name, width, height, taken, changed, fingerprint FROM photos"
                " WHERE line IS NOT NULL ORDER BY name"
            ).fetchall()
            self.problems = dict(table.execute("SELECT name, problem FROM photos WHERE problem IS NOT NULL"))
        except sqlite3.DatabaseError as error:
            raise InputError(f"cannot be read ({error})", file=path, remedy="Index again.") from error
        finally:
            table.close()
        self.values = self._map(generation, "f32", np.float32, lines)
        self._half = self._map(generation, "f16", np.float16, lines)
        self.rows: dict[int, tuple] = {}
        self._others: dict[int, list[str]] = {}
        for row in rows:
            if row[0] in self.rows:
                self._others.setdefault(row[0], []).append(row[1])
            else:
                self.rows[row[0]] = row
        order = np.full(lines, -1, np.int64)
        order[list(self.rows)] = np.arange(len(self.rows))
        self.order = torch.from_numpy(order)
        self.gone = (self.order < 0).nonzero().flatten()

    @staticmethod
    def stamp_of(directory: Path) -> tuple:
        """What ``stamp`` of a gallery read now would be: it changes with every change of the index."""
        table = connect(directory / "photos.sqlite", write=False)
        try:
            return _stamp(table)
        finally:
            table.close()

    def _map(self, generation: int, kind: str, dtype, lines: int) -> np.ndarray:
        path = features_path(self.directory, generation, kind)
        if path.stat().st_size < lines * self.dims * np.dtype(dtype).itemsize:
            raise InputError("is cut short", file=path, remedy=f"Delete {self.directory} and index again.")
        return np.memmap(path, dtype, "c", shape=(lines, self.dims)) if lines else np.zeros((0, self.dims), dtype)

    def __len__(self) -> int:
        return len(self.rows)

    def photo(self, line: int) -> Photo:
        """Raises KeyError for a line without a photo."""
        line, name, width, height, taken, changed, fingerprint = self.rows[line]
        taken = taken or datetime.datetime.fromtimestamp(changed / 1e9).isoformat(timespec="seconds")
        return Photo(line, name, width, height, taken, fingerprint, tuple(self._others.get(line, ())))

    @functools.cached_property
    def by_name(self) -> dict[str, int]:
        """{name: line}, also of files with the same bytes as another."""
        names = {row[1]: line for line, row in self.rows.items()}
        return names | {name: line for line, others in self._others.items() for name in others}

    @functools.cached_property
    def newest(self) -> list[int]:
        """Lines of all photos, the one that was taken last first."""
        return sorted(self.rows, key=lambda line: self.photo(line).taken, reverse=True)

    @functools.cached_property
    def dates(self) -> np.ndarray:
        """datetime64[s] [lines]; NaT of lines without a photo."""
        out = np.full(len(self.order), np.datetime64("NaT"), "datetime64[s]")
        for line, (_, _, _, _, taken, changed, _) in self.rows.items():
            out[line] = np.datetime64(taken, "s") if taken else np.datetime64(changed // 10**9, "s")
        return out

    def feature(self, line: int) -> torch.Tensor:
        """float32 [D], as the encoder gave it."""
        return torch.from_numpy(np.array(self.values[line]))

    def exact(self, lines: torch.Tensor) -> torch.Tensor:
        """float32 [n, D], un-normalised, of these lines."""
        return torch.from_numpy(self.values[lines.numpy()])

    def similarities(self, vectors: torch.Tensor) -> "Products":
        """Products of ``vectors`` [n, D] with the normalised features, from the float16 matrix.

        What rounding does to a feature, to a vector and to a result is bounded each for itself.
        """
        if not len(self.order):
            return Products(torch.zeros(len(vectors), 0), torch.zeros(len(vectors)), torch.zeros(len(vectors)))
        scale = vectors.abs().amax(1, keepdim=True).clamp(min=1e-12)  # float16 has no room for long vectors
        small = (vectors / scale).half()
        found = torch.mm(torch.from_numpy(self._half), small.T).T.contiguous().float().mul_(scale)
        lost = (small.float() * scale - vectors).norm(dim=1) * (1 + _ROUNDED)
        largest = found.abs().amax(1)
        errors = vectors.norm(dim=1) * (_ROUNDED + _SUMMED) + lost + largest * 2 * _ROUNDED
        return Products(found, errors, largest)


@dataclasses.dataclass(frozen=True)
class Products:
    """values: float32 [n, lines]; errors: [n], how far a row is off at most; largest: [n], absolute, of each row."""

    values: torch.Tensor
    errors: torch.Tensor
    largest: torch.Tensor


def _stamp(table: sqlite3.Connection) -> tuple:
    counts = table.execute("SELECT count(*), count(line), max(changed), total(changed) FROM photos").fetchone()
    return (about(table, "generation"), about(table, "lines"), *counts)
