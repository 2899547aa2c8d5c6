"""What finished jobs tell about speed and size: Snakemake's benchmark file, the job's record, and its output.

A job counts for a plan when it ran the same models under the same settings; where it ran is told with the estimate.
"""

import csv
import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ipcir_steps.core.journal import paths, read_lines

# Settings that change neither the time nor the size of one item.
FREE = {"device", "directory", "workers", "base_url", "key_variable", "attempts", "longest_wait", "timeout"}


@dataclasses.dataclass(frozen=True)
class Job:
    """One finished job. seconds: wall clock; items: what it made; size: bytes of its output; where: the machine;
    peak: bytes resident at most, 0 where that was not recorded."""

    seconds: float
    items: int
    size: int
    where: str
    peak: float = 0.0


@dataclasses.dataclass(frozen=True)
class Speed:
    """Several jobs together."""

    jobs: tuple[Job, ...]

    @property
    def per_item(self) -> float:
        """Seconds per item, starting and loading the model included."""
        return sum(job.seconds for job in self.jobs) / sum(job.items for job in self.jobs)

    @property
    def bytes_per_item(self) -> float:
        return sum(job.size for job in self.jobs) / sum(job.items for job in self.jobs)

    @property
    def peak(self) -> float:
        return max(job.peak for job in self.jobs)

    @property
    def where(self) -> str:
        return ", ".join(sorted({job.where for job in self.jobs}))


def column(benchmark: Path, name: str) -> float | None:
    """A figure of a benchmark file (of the last repetition): ``s``, wall-clock seconds, or ``max_rss``, MB. None where
    it holds none."""
    try:
        with open(benchmark, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        return float(rows[-1][name])
    except (OSError, LookupError, ValueError, TypeError):
        return None


def record(directory: Path, output: Path) -> dict:
    """The record of the job that wrote ``output``; empty where there is none."""
    path = directory / "provenance" / output.relative_to(directory)
    try:
        return json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def matches(made: dict, settings: dict | None, models: Iterable[str], alone: bool = False) -> bool:
    """Whether a record is of these models (hub ids or directories), and with ``alone`` of no other, and these
    settings."""
    known = (made.get("parameters") or {}).get("settings")
    if settings is not None:
        if not isinstance(known, dict):
            return False
        if any(known.get(name) != value for name, value in settings.items() if name not in FREE):
            return False
    found = {model["source"] for model in made.get("models", ())}
    return set(models) == found if alone else set(models) <= found


def made_by_last_run(shard: Path) -> int | None:
    """Records that the last run of a shard's job made, rather than took over; None where its journal is gone."""
    try:
        with open(paths(shard)[1], "rb") as file:
            notes = [line for line, _ in read_lines(file) if isinstance(line, dict) and "reused" in line]
        return notes[-1]["done"] + notes[-1]["failed"] - notes[-1]["reused"]
    except (OSError, LookupError):
        return None


def where(made: dict) -> str:
    host = made.get("host") or {}
    gpus = sorted(set(host.get("gpus") or ()))
    return " + ".join(gpus) if gpus else f"CPU, {host.get('cores', '?')} cores"


def speed(
    directory: Path,
    pairs: Iterable[tuple[Path, Sequence[Path], int | None]],
    settings: dict | None,
    models: Sequence[str],
    alone: bool = False,
) -> Speed | None:
    """From (benchmark file, outputs, items or None: those of their journals) of every finished job that matches."""
    jobs = []
    for benchmark, outputs, items in pairs:
        took, made = column(benchmark, "s"), record(directory, outputs[0])
        if items is None:
            items = sum(made_by_last_run(output) or 0 for output in outputs)
        if took is None or not items or not matches(made, settings, models, alone):
            continue
        size = sum(output.stat().st_size for output in outputs if output.is_file())
        jobs.append(Job(took, items, size, where(made), (column(benchmark, "max_rss") or 0) * 2**20))
    return Speed(tuple(jobs)) if jobs else None
