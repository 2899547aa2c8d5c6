"""Which of a step's arguments are files it reads, files it makes, or neither."""

import argparse
import json
from pathlib import Path

from ipcir_steps.core.files import read_jsonl

# Arguments that name what is made, and those that are neither read nor made as such. Every other path is an input.
OUTPUTS = {"output", "output_dir", "subset_output", "svg", "png", "markdown", "csv", "latex"}
OUTPUTS_OF = {"gather": {"failures"}, "proxies": {"images"}}
NEITHER = {"cache", "root", "directory", "show", "check", "proxy_images", "benchmarks", "records", "work"}
# Steps that read every image of the lists they are given; the others note what they open.
READERS = {"captions", "masks", "proxies", "embeddings", "datasets"}
ROLES = ("input", "output", "neither")


def role(step: str, name: str) -> str:
    """The role of a path argument.

    >>> role("gather", "failures"), role("results", "failures"), role("masks", "cache")
    ('output', 'input', 'neither')
    """
    if name in OUTPUTS or name in OUTPUTS_OF.get(step, ()):
        return "output"
    return "neither" if name in NEITHER else "input"


def paths(step: str, args: argparse.Namespace, wanted: str) -> list[tuple[str, Path]]:
    """(argument, path) of every path argument in that role, in the order of the arguments."""
    found = []
    for name, value in vars(args).items():
        if step == "mini" and args.command == "train" and name == "weights":
            continue  # read and written by each training in turn: their records name the files
        values = value if isinstance(value, list | tuple) else [value]
        found += [(name, path) for path in values if isinstance(path, Path) and role(step, name) == wanted]
    return found


def parameters(args: argparse.Namespace) -> dict:
    """Every argument that is no path, settings as values."""
    values = {}
    for name, value in vars(args).items():
        several = value if isinstance(value, list | tuple) else [value]
        if name == "step" or value is None or any(isinstance(entry, Path) for entry in several):
            continue
        values[name] = _settings(value) if name == "settings" else value
    if isinstance(root := getattr(args, "root", None), Path):
        values["root"] = str(root)
    return values


def _settings(text: str):
    try:
        return json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return text


def images(step: str, args: argparse.Namespace) -> tuple[Path, list[str]] | None:
    """The directory and the relative paths of the images that a step reads, from the lists it is given."""
    if step not in READERS:
        return None
    if step == "embeddings" and getattr(args, "kind", None) == "proxies":
        return args.images, drawn(args.index)
    root = getattr(args, "root", None)
    lists = [path for name in ("references", "images") if isinstance(path := getattr(args, name, None), Path)]
    lists = [path for path in lists if path.suffix == ".jsonl" and path.is_file()]
    if root is None or not lists:
        return None
    return root, [record["path"] for path in lists for record in read_jsonl(path) if "path" in record]


def drawn(*indices: Path) -> list[str]:
    """The proxy images that an index, or shards of one, names."""
    found = [index for index in indices if index.is_file()]
    return [name for index in found for record in read_jsonl(index) for name in record.get("images", ())]
