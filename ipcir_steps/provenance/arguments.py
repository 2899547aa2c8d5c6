"""What a command's arguments tell: paths by their types (``core.arguments``), images by the lists given, parameters."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from ipcir_steps.core.arguments import ImageList, PathArgument, Root
from ipcir_steps.core.files import read_jsonl


def paths(args: argparse.Namespace, *kinds: type[PathArgument]) -> list[tuple[str, PathArgument]]:
    """(argument, path) of every path argument of one of these types, in the order of the arguments."""
    values = [(name, value if isinstance(value, list | tuple) else [value]) for name, value in vars(args).items()]
    return [(name, path) for name, several in values for path in several if isinstance(path, kinds)]


def parameters(args: argparse.Namespace) -> dict:
    """Every argument that is neither an input nor an output, settings as values."""
    values = {}
    for name, value in vars(args).items():
        if isinstance(value, Root):
            values[name] = str(value)
            continue
        several = value if isinstance(value, list | tuple) else [value]
        if name != "step" and value is not None and not any(isinstance(entry, PathArgument) for entry in several):
            values[name] = _settings(value) if name == "settings" else value
    return values


def _settings(text: str):
    try:
        return json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return text


def images(args: argparse.Namespace) -> tuple[Path, list[str]] | None:
    """The root and the relative paths of the images that a command's lists name, all of which it reads."""
    roots, lists = paths(args, Root), [path for _, path in paths(args, ImageList) if path.is_file()]
    if not roots or not lists:
        return None
    return roots[0][1], [name for path in lists for name in listed(path)]


def listed(path: Path) -> Iterator[str]:
    """The images that a list names: one in each record (``path``), or several (``images``)."""
    for record in read_jsonl(path):
        yield from [record["path"]] if "path" in record else record.get("images", ())
