"""Reading official annotation files, with errors that name the record and the field."""

from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json


def read_annotations(root: Path, relative: str, source: str):
    """JSON at ``root / relative``; see ``annotation_file``."""
    return read_json(annotation_file(root, relative, source))


def annotation_file(root: Path, relative: str, source: str) -> Path:
    """``root / relative``. A missing file raises one message: what, where to get it, where to put it."""
    path = root / relative
    if not path.is_file():
        raise InputError(
            "the annotation file is missing",
            file=path,
            remedy=f"Get it from {source} and put it there, or correct the dataset's root in config.yaml.",
        )
    return path


def need(record: dict, field: str, kind: type | tuple, path: Path, number) -> object:
    """``record[field]`` when it is there and of the right type, else InputError."""
    if not isinstance(record, dict) or field not in record:
        raise InputError("is missing", file=path, record=number, field=field)
    value = record[field]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"has the wrong type ({type(value).__name__})", file=path, record=number, field=field)
    return value
