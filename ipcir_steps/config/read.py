"""Configuration files laid over each other, as Snakemake lays them."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from ipcir_steps.config import Config, load_config
from ipcir_steps.config.stack import merged
from ipcir_steps.core.errors import InputError


def read_config(files: Iterable[str | Path], overrides: dict | None = None) -> Config:
    """The files in order, then ``overrides`` (Snakemake's --config), validated.

    Raises InputError where a file is missing or holds no mapping, and as ``load_config``.
    """
    values, files = {}, [Path(file) for file in files]
    for path in files:
        if not path.is_file():
            raise InputError("does not exist", file=path)
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise InputError("is not a mapping of settings", file=path)
        values = merged(values, content)
    return load_config(merged(values, overrides or {}), ", ".join(map(str, files)) or "config.yaml")
