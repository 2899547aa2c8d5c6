"""The commands on a page of the documentation: each check takes a page and yields what is wrong.

Placeholders have capitals, braces, brackets or dots: FILE, {x}, [--x], ….
"""

import argparse
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.pages import ROOT, Page

COMMANDS = ("ipcir", "snakemake", "make", "python")
SHELL = ("", "console", "bash")


def shell_lines(page: Page) -> Iterator[tuple[list[str], bool]]:
    """(words, whether they are a whole command) of every command on a page; continued lines are joined."""
    for language, text in page.blocks:
        if language in SHELL:
            for line in text.replace("\\\n", " ").splitlines():
                yield from _commands(line.strip().removeprefix("$ "), whole=True)
    for text in page.inline:
        yield from _commands(text, whole=False)


def _commands(line: str, whole: bool) -> Iterator[tuple[list[str], bool]]:
    if line.partition(" ")[0] not in COMMANDS or "─" in line:
        return
    for part in re.split(r" && | \| ", line):
        words = shlex.split(part, comments=True)
        if words[0] in COMMANDS:
            yield [word.strip("[]") if word[0] in "[-" else word for word in words], whole and not placeholders(words)


def placeholders(words: list[str]) -> bool:
    return any("…" in word or word.startswith("[-") for word in words)


def is_placeholder(word: str) -> bool:
    """TARGET, {dataset}, …, N; not a file of ours, which has a small letter."""
    return not word or "…" in word or "{" in word or word.upper() == word


@functools.cache
def parser(command: str | None = None):
    """The parser of ipcir with the arguments of one command."""
    from ipcir_steps import cli

    return cli.command_line([command] if command else ())


def options(found) -> set[str]:
    return set(found._option_string_actions)


def leaf(found, words: list[str]):
    """The parser of the innermost command that ``words`` name."""
    for action in found._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word in words:
                if word in action.choices:
                    return leaf(action.choices[word], words[words.index(word) + 1 :])
    return found


def wrong_ipcir(words: list[str], whole: bool) -> Iterator[str]:
    """Unknown commands and options of ``ipcir …``; of a whole command everything that its parser refuses."""
    from ipcir_steps.steps import STEPS

    words = words[1 : words.index("--")] if "--" in words else words[1:]
    if not words or is_placeholder(words[0]) or words[0].startswith("-"):
        return
    if words[0] not in STEPS:
        yield f"there is no command {words[0]!r}"
        return
    known = options(leaf(parser(words[0]), words))
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    yield from (f"ipcir {words[0]} has no option {word}" for word in unknown)
    if whole and not unknown:
        try:
            parser(words[0]).parse_args(words)
        except SystemExit:
            yield f"the parser refuses: ipcir {shlex.join(words)}"


@functools.cache
def snakemake_parser():
    from snakemake.cli import get_argument_parser

    return get_argument_parser()


def wrong_snakemake(words: list[str], rules: dict) -> Iterator[str]:
    """Unknown options, targets that no rule makes, and settings that the configuration does not have."""
    from ipcir_steps.config import load_config
    from ipcir_steps.core.errors import InputError

    known = options(snakemake_parser())
    unknown = [word for word in words[1:] if word.startswith("--") and word.partition("=")[0] not in {*known, "--"}]
    yield from (f"snakemake has no option {word}" for word in unknown)
    if unknown or "…" in words:
        return
    try:
        given = snakemake_parser().parse_args([word for word in words[1:] if word != "--"])
    except SystemExit:
        yield f"the parser refuses: {shlex.join(words)}"
        return
    made = [output for rule in rules.values() for output in rule.output]
    for target in given.targets:
        if not (is_placeholder(target) or target in rules or any(output.match(target) for output in made)):
            yield f"no rule makes {target}"
    settings = dict(word.split("=", 1) for word in given.config or [])
    try:
        load_config({key: yaml.safe_load(value) for key, value in settings.items()}, "--config")
    except InputError as error:
        yield str(error)


def wrong_make(words: list[str]) -> Iterator[str]:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    yield from (
        f"there is no make target {word}" for word in words[1:] if re.match("[a-z]", word) and word not in targets
    )


def wrong_python(words: list[str]) -> Iterator[str]:
    """A script of ours that is not there, or an option that it does not name."""
    if words[1:2] == ["-c"]:
        return
    name = words[2].replace(".", "/") if words[1] == "-m" else words[1]
    scripts = [ROOT / name, ROOT / f"{name}.py", ROOT / name / "__main__.py"]
    if (script := next(filter(Path.is_file, scripts), None)) is None:
        yield f"there is no {name}"
        return
    text = script.read_text(encoding="utf-8")
    yield from (
        f"{name} has no {word}"
        for word in words[2:]
        if word.startswith("--") and word not in ("--help",) and word not in text
    )


def wrong_commands(page: Page, rules: dict) -> Iterator[str]:
    for words, whole in shell_lines(page):
        if words[0] == "ipcir":
            yield from wrong_ipcir(words, whole)
        elif words[0] == "snakemake":
            yield from wrong_snakemake(words, rules)
        elif words[0] == "make":
            yield from wrong_make(words)
        elif len(words) > 1:
            yield from wrong_python(words)


@functools.cache
def every_option() -> str:
    """All options that a page may name by themselves: of ours, of Snakemake, and what scripts and profiles pass on."""
    from ipcir_steps.steps import STEPS

    def below(found):
        yield from options(found)
        for action in found._actions:
            if isinstance(action, argparse._SubParsersAction):
                for sub in action.choices.values():
                    yield from below(sub)

    ours = {option for name in STEPS for option in below(parser(name))} | options(snakemake_parser())
    files = [*ROOT.glob("dev/**/*.py"), *ROOT.glob("profiles/*/*.yaml")]
    return "\n".join([*ours, *(file.read_text(encoding="utf-8") for file in files), ""])


def wrong_options(page: Page) -> Iterator[str]:
    """Options that stand alone in the running text, such as ``--key``."""
    for text in page.inline:
        for option in re.findall(r"^--[a-z][a-z-]+", text):
            if not re.search(rf"{option}(?![a-z-])", every_option()):
                yield f"nothing has the option {option}"
