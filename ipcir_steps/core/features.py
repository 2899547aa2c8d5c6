"""Feature files: one safetensors tensor ``features`` with named rows."""

import dataclasses
import json
import mmap
from pathlib import Path

import numpy as np

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import atomic


@dataclasses.dataclass(frozen=True)
class Features:
    """Un-normalised encoder output.

    values: float32 [rows, D] or [rows, n, D] (memory-mapped when read from disk).
    names: one id per row (image name or query id). missing: names whose rows are zeros because the image or
    caption could not be had. model: what made them (backbone, pretrained tag, digest).
    counts: of [rows, n, D], how many of its n a row has, where that differs: the others are zeros. A row that has none
    and is not missing is one of which none was wanted. None: every row has all, or is missing.
    """

    values: np.ndarray
    names: tuple[str, ...]
    missing: tuple[str, ...] = ()
    model: dict = dataclasses.field(default_factory=dict)
    counts: tuple[int, ...] | None = None

    @property
    def drawn(self) -> np.ndarray:
        """int64 [rows], how many of its n each row of [rows, n, D] has; 0 where it is missing."""
        whole = np.full(len(self.names), self.values.shape[1])
        found = whole if self.counts is None else np.array(self.counts, dtype=np.int64)
        missing = set(self.missing)
        return np.where([name in missing for name in self.names], 0, found)


def save_features(path: str | Path, features: Features) -> None:
    """Write atomically. Raises InputError naming the first row that is not finite or is a zero vector."""
    check(features, path)
    metadata = {
        "names": json.dumps(features.names, ensure_ascii=False),
        "missing": json.dumps(features.missing, ensure_ascii=False),
        "model": json.dumps(features.model, ensure_ascii=False, sort_keys=True),
        **({} if features.counts is None else {"counts": json.dumps(features.counts)}),
    }
    values = np.ascontiguousarray(features.values, dtype=np.float32)
    tensor = {"dtype": "F32", "shape": values.shape, "data_offsets": [0, values.nbytes]}
    # The safetensors package writes metadata keys in an order that changes from call to call; the same features
    # have to give the same bytes.
    header = json.dumps({"__metadata__": metadata, "features": tensor}).encode()
    header += b" " * (-len(header) % 8)
    with atomic(path) as temporary, open(temporary, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        values.tofile(file)


def load_features(path: str | Path) -> Features:
    """Memory-map a feature file and check it. Raises InputError naming file and row."""
    header, offset = _header(path)
    metadata, tensor = header.get("__metadata__", {}), header.get("features")
    if tensor is None or "names" not in metadata:
        raise InputError("holds no tensor 'features' with names", file=path, remedy="Rebuild it with ipcir embeddings.")
    if tensor["dtype"] != "F32":
        raise InputError(f"features are {tensor['dtype']}, not F32", file=path)
    start = offset + tensor["data_offsets"][0]
    if Path(path).stat().st_size < offset + tensor["data_offsets"][1]:
        raise InputError("is cut short", file=path, remedy="Delete it and run again to rebuild it.")
    shape = tuple(tensor["shape"])
    empty = 0 in shape
    values = np.zeros(shape, np.float32) if empty else np.memmap(path, np.float32, "r", start, shape)
    features = Features(
        values,
        tuple(json.loads(metadata["names"])),
        tuple(json.loads(metadata.get("missing", "[]"))),
        json.loads(metadata.get("model", "{}")),
        tuple(json.loads(metadata["counts"])) if "counts" in metadata else None,
    )
    check(features, path)
    return features


def align(features: Features, names, *, file=None, other=None) -> list[int]:
    """The row of each of ``names``. Raises InputError naming the first name that is not in ``features``."""
    rows = {name: row for row, name in enumerate(features.names)}
    for name in names:
        if name not in rows:
            remedy = "Rebuild both from the same queries and gallery."
            raise InputError(
                f"has no row for it{f', {other} has' if other else ''}", file=file, record=name, remedy=remedy
            )
    return [rows[name] for name in names]


def release(values: np.ndarray) -> None:
    """Drop the pages of a memory-mapped array from resident memory; they come back from disk when read again."""
    mapped = getattr(values, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _header(path: str | Path) -> tuple[dict, int]:
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > 1 << 30:
                raise ValueError("header too long")
            return json.loads(file.read(size)), 8 + size
    except FileNotFoundError:
        raise InputError("does not exist", file=path) from None
    except ValueError as error:
        remedy = "Delete it and run again to rebuild it."
        raise InputError(f"is not a safetensors file ({error})", file=path, remedy=remedy) from error


def check(features: Features, path: str | Path) -> None:
    """Row count, unique names, finite values, no zero vector where there should be one; block by block."""
    values, names = features.values, features.names
    if len(values) != len(names):
        raise InputError(f"has {len(values)} rows but {len(names)} names", file=path)
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError("appears twice", file=path, record=twice)
    if features.counts is not None:
        _check_counts(features, path)
    missing, each = set(features.missing), int(np.prod(values.shape[1:-1]))
    counts = np.full(len(names), each) if features.counts is None else np.array(features.counts, dtype=np.int64)
    rows = max(1, (1 << 24) // max(1, int(np.prod(values.shape[1:]))))
    for start in range(0, len(values), rows):
        block = np.asarray(values[start : start + rows])
        largest = np.abs(block).max(axis=-1, initial=0)
        largest = largest.reshape(len(block), -1)
        for row in np.flatnonzero(~np.isfinite(largest).all(1)):
            raise InputError("has NaN or infinite values", file=path, record=names[start + row], field="features")
        zeros = np.arange(each) >= counts[start : start + rows, None]
        for row in np.flatnonzero(((largest == 0) & ~zeros).any(1)):
            if names[start + row] not in missing:
                raise InputError("is a zero vector", file=path, record=names[start + row], field="features")
        for row in np.flatnonzero(((largest != 0) & zeros).any(1)):
            raise InputError("has more vectors than it counts", file=path, record=names[start + row], field="counts")
        release(values)


def _check_counts(features: Features, path: str | Path) -> None:
    shape, counts = features.values.shape, features.counts
    if len(shape) != 3 or len(counts) != shape[0] or not all(isinstance(c, int) and 0 <= c <= shape[1] for c in counts):
        raise InputError(f"are not one for each row of {list(shape)}, from 0 to its second", file=path, field="counts")
