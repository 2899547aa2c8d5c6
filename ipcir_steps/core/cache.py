"""Where the user's files are kept; answers kept on disk, one small file each, so that a rerun asks nothing twice."""

import json
import os
from pathlib import Path

from ipcir_steps.core.files import digest, write_text


def home(kind: str) -> Path:
    """The user's directory for ``data`` or ``cache``, as freedesktop.org has it."""
    given = os.environ.get(f"XDG_{kind.upper()}_HOME", "")
    return Path(given) if given else Path.home() / {"data": ".local/share", "cache": ".cache"}[kind]


class Cache:
    """Maps a JSON value to a JSON value. ``directory`` None keeps nothing. Safe for processes side by side."""

    def __init__(self, directory: str | Path | None):
        self.directory = Path(directory) if directory is not None else None

    def _path(self, key) -> Path:
        name = digest(key)
        return self.directory / name[:2] / f"{name}.json"

    def get(self, key):
        """The stored value, or None; a damaged file counts as absent."""
        if self.directory is None:
            return None
        try:
            return json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def put(self, key, value) -> None:
        if self.directory is not None:
            write_text(self._path(key), json.dumps(value, ensure_ascii=False))
