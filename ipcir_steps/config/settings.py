"""``--settings`` of every command: one section of the configuration, as JSON text or as a file."""

import argparse
import json
from typing import TypeVar

import pydantic

from ipcir_steps.config.base import Section
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import used

S = TypeVar("S", bound=Section)


def add_settings(parser: argparse.ArgumentParser, section: type[Section]) -> None:
    fields = "\n".join(f"  {name}: {field.description}" for name, field in section.model_fields.items())
    parser.add_argument(
        "--settings", default="{}", metavar="JSON", help="settings as JSON text or a JSON file; see below"
    )
    parser.epilog = f"settings:\n{fields}"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def read_settings(text: str, section: type[S]) -> S:
    """Validate. Raises InputError naming the first wrong key and its value."""
    file = None
    if not text.lstrip().startswith("{"):
        file, text = text, used(text).read_text(encoding="utf-8")
    try:
        return section.model_validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{first['msg']} (got {json.dumps(first['input'], default=str)})",
            file=file or "--settings",
            field=".".join(map(str, first["loc"])),
        ) from error
