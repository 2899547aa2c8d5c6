"""``ipcir config``: check a configuration; write the commented defaults and the JSON schema."""

import argparse

import yaml

from ipcir_steps.config import Config, load_config, plain
from ipcir_steps.config.base import Section
from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.files import write_json, write_text


def schema() -> dict:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def default_yaml() -> str:
    """The commented default ``config.yaml``."""
    intro = (
        "# The default configuration, written by `ipcir config --defaults`. Change what you need; delete the rest.\n"
    )
    return intro + _yaml(Config(), 0)


def _yaml(section: Section, depth: int) -> str:
    lines, pad = [], "  " * depth
    for key, field in type(section).model_fields.items():
        value, name = getattr(section, key), field.alias or key
        if isinstance(value, Section):
            lines += [f"\n{pad}# {field.description}", f"{pad}{name}:", _yaml(value, depth + 1)]
        elif isinstance(value, dict):
            lines += [f"\n{pad}# {field.description}", f"{pad}{name}:"]
            if not value or (isinstance(section, Config) and name == "stacks"):
                lines[-1] += " {}"
                continue
            for key, entry in value.items():
                text = yaml.safe_dump(plain(entry), sort_keys=False, width=200)
                lines += [f"{pad}  {key}:", *(f"{pad}    {line}" for line in text.splitlines())]
        else:
            value = list(value) if isinstance(value, tuple) else value
            text = yaml.safe_dump(value, default_flow_style=True, width=200).removesuffix("\n").removesuffix("\n...")
            lines.append(f"{pad}{name}: {text}  # {field.description}")
    return "\n".join(lines) + ("\n" if depth == 0 else "")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", type=InFile, help="validate a config.yaml")
    parser.add_argument(
        "--stack", metavar="NAME", help="print every setting of a stack, built in or from the --check file"
    )
    parser.add_argument("--defaults", type=OutFile, help="write the commented default config.yaml here")
    parser.add_argument("--schema", type=OutFile, help="write the JSON schema here")


def main(args: argparse.Namespace) -> None:
    values = yaml.safe_load(args.check.read_text(encoding="utf-8")) or {} if args.check else {}
    config = load_config(values, str(args.check or "config.yaml"))
    if args.stack:
        print(_yaml(config.with_stack(args.stack).stack, 0), end="")
    if args.defaults:
        write_text(args.defaults, default_yaml())
    if args.schema:
        write_json(args.schema, schema())
