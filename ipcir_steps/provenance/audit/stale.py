"""Does a record's step still have the settings that the configuration asks for?"""

import functools
import json
from pathlib import Path

from ipcir_steps import config
from ipcir_steps.config.read import read_config
from ipcir_steps.config.taken import changes


class Configuration:
    """The configuration as its files are now: those of each record's run, or the ones given."""

    def __init__(self, given: list[str] | None = None):
        self.given, self.notes = given, []
        self._load = functools.cache(self._read)

    def changes(self, record: dict) -> list[tuple[str, object, object]]:
        """[(key, recorded, now)] of what the step's rule took from the configuration; none for steps run by hand."""
        told = record["configuration"]
        files = self.given or told.get("configfiles")
        if not files or "values" not in told:
            return []
        now = self._load(tuple(files), json.dumps({} if self.given else told.get("overrides", {})))
        return [] if now is None else list(changes(told["values"], now))

    def _read(self, files: tuple[str, ...], overrides: str) -> config.Config | None:
        gone = [name for name in files if not Path(name).is_file()]
        self.notes += [f"{name} is gone: the settings could not be compared with it" for name in gone]
        return None if gone else read_config(files, json.loads(overrides))
