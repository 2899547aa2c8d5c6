"""docs/rehearsal.md: what was measured, beside what the plan says."""

from pathlib import Path


def write(path: Path, config, planned, directory: Path) -> None:
    raise NotImplementedError
