"""What a page of the documentation says that a machine can check: each check takes a page and yields what is wrong.

Pages are read with a CommonMark parser.
"""

import ast
import importlib.util
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "ipcir_steps"
# What runs leave beside the code, or what has the name of such a directory.
MADE = {"results", "provenance", "resources", "benchmarks", "logs", ".snakemake", "data"}


class Page(typing.NamedTuple):
    """Blocks of code as (language, text), code in the running text, targets of links and images, headings."""

    path: Path
    blocks: list[tuple[str, str]]
    inline: list[str]
    links: list[str]
    headings: list[str]


def read(path: Path, text: str | None = None) -> Page:
    """A page; ``text`` in place of what is in the file."""
    page = Page(path, [], [], [], [])
    tokens = MarkdownIt("commonmark").enable("table").parse(text or path.read_text(encoding="utf-8"))
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type in ("fence", "code_block"):
            page.blocks.append((token.info.strip(), token.content))
        if before is not None and before.type == "heading_open":
            page.headings.append(token.content)
        for child in token.children or ():
            if child.type == "code_inline":
                page.inline.append(child.content)
            page.links.extend(child.attrs[name] for name in ("href", "src") if name in child.attrs)
    return page


def wrong_links(page: Page) -> Iterator[str]:
    for link in page.links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        if not target.exists():
            yield f"there is no {link}"
        elif anchor and anchor not in map(slug, (page if target == page.path else read(target)).headings):
            yield f"{name} has no heading #{anchor}"


def slug(heading: str) -> str:
    """As GitHub and the common site generators name a heading.

    >>> slug("Fusion, and `eq. 1`")
    'fusion-and-eq-1'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def wrong_yaml(page: Page) -> Iterator[str]:
    """Blocks that are neither a configuration, a section of a stack, nor a prompt."""
    from ipcir_steps.config import Config, load_config
    from ipcir_steps.config.stack import Stack
    from ipcir_steps.core.errors import InputError

    for values in (yaml.safe_load(text) for language, text in page.blocks if language == "yaml"):
        if "user" in values and "version" in values:  # a prompt
            values = {}
        if set(values) <= set(Stack.model_fields) - set(Config.model_fields):
            values = {"stacks": {"published": values}}
        try:
            load_config(values, "the block")
        except InputError as error:
            yield str(error)


def wrong_settings(page: Page) -> Iterator[str]:
    """Dotted settings in the running text, of the configuration or of a stack: ``fusion.scale``."""
    for text in page.inline:
        for key in re.findall(r"^[a-z_]+(?:\.\w+)+(?=:|$)", text):
            first, last = key.split(".")[0], key.split(".")[-1]
            if last not in ("jsonl", "json", "safetensors", "py", "md", "yaml") and not _has_setting(key, first):
                yield f"there is no setting {key}"


def _has_setting(key: str, first: str) -> bool:
    from ipcir_steps.config import Config
    from ipcir_steps.config.stack import Stack

    section = next((one for one in (Config, Stack) if first in one.model_fields), None)
    for part in key.split(".") if section else ():
        if typing.get_origin(section) is dict:  # names of a catalogue
            section = typing.get_args(section)[1]
            continue
        fields = {field.alias or name: field for name, field in getattr(section, "model_fields", {}).items()}
        if part not in fields:
            return False
        section = fields[part].annotation
    return True


def wrong_paths(page: Page) -> Iterator[str]:
    """Files and directories of the repository, or below ``ipcir_steps``, in the running text."""
    tops = {path.name for parent in (ROOT, CODE) for path in parent.iterdir() if path.is_dir()} - MADE
    for text in page.inline:
        first, slash, _ = text.partition("/")
        if slash and first in tops and re.fullmatch(r"[\w./{}*+-]+", text):
            pattern = re.sub(r"\{[^}]*\}", "*", text).rstrip("/")
            if ".sif" not in text and not any(any(parent.glob(pattern)) for parent in (ROOT, CODE)):
                yield f"there is no {text}"


def wrong_python_blocks(page: Page) -> Iterator[str]:
    """Code that does not parse, and imports of ours that fail."""
    for language, text in page.blocks:
        if language == "python" or (not language and re.match(r"(from|import) \w", text)):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in (
                    "ipcir_steps",
                    "mini_world",
                    "dev",
                ):
                    yield from _missing(node.module, [alias.name for alias in node.names])


def _missing(module: str, names: list[str]) -> Iterator[str]:
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        yield str(error)
        return
    for name in names:
        if not hasattr(found, name) and importlib.util.find_spec(f"{module}.{name}") is None:
            yield f"{module} has no {name}"


def wrong_diffs(page: Page) -> Iterator[str]:
    """Lines that a change takes away or stands beside, and that are not in the file which it names first."""
    for text in (text for language, text in page.blocks if language == "diff"):
        first, *lines = text.splitlines()
        file = (ROOT / first.removeprefix("# ")).read_text(encoding="utf-8").splitlines()
        yield from (f"{first}: no line {line[1:]!r}" for line in lines if line[:1] in "- " and line[1:] not in file)
