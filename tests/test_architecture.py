"""The layout holds: imports go one way, nothing is too long or too tangled to read."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from radon.complexity import cc_visit

ROOT = Path(__file__).parents[1]
PACKAGES = ("ipcir_steps", "mini_world", "dev")
# What each part may import beside itself; whatever stands in no row (cli, __main__) may import all of ipcir_steps.
CORE = {"core", "package"}
MAY_IMPORT = {
    "core": {"package"},
    "steps": {"core"},
    "variants": {"core"},
    "config": CORE | {"variants"},
    "benchmarks": CORE | {"config", "variants"},
    "imagine": CORE | {"config", "benchmarks", "variants"},
    "seek": CORE | {"config", "benchmarks", "variants"},
    "verify": CORE | {"config", "benchmarks", "variants", "imagine"},
    "evaluate": CORE | {"config", "benchmarks", "variants", "steps", "seek"},
    "photos": CORE | {"config", "benchmarks", "variants", "imagine", "seek", "evaluate"},
    "provenance": CORE | {"config", "benchmarks", "variants", "steps", "evaluate"},
    "runtime": CORE | {"config", "benchmarks", "variants", "steps", "evaluate", "provenance", "imagine", "seek"},
}
# Shared by the steps of a group: these are not steps.
SHARED = {"imagine.llm", "seek.ranking", "seek.embeddings", "seek.fusion"}
LONGEST, LONGEST_RULES, MOST_TANGLED = 300, 150, 20


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Modules of this project that a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            while parts and ".".join(parts) not in MODULES:
                parts.pop()
            if parts:
                yield ".".join(parts)


ARROWS = [(name, other) for name, path in MODULES.items() for other in set(imports(path)) if other != name]


def part(name: str) -> str:
    """core, config, …; "package" is ipcir_steps itself."""
    return name.split(".")[1] if "." in name else "package"


def step(name: str) -> str:
    """imagine.layouts, seek.ranking, …: what a command is made of."""
    return ".".join(name.split(".")[1:3])


def test_imports_go_one_way():
    ours = [(a, b) for a, b in ARROWS if a.startswith("ipcir_steps") and part(a) in MAY_IMPORT]
    wrong = [(a, b) for a, b in ours if part(b) != part(a) and part(b) not in MAY_IMPORT[part(a)]]
    assert len(ours) > 100 and not wrong


def test_nobody_imports_the_mini_world_or_dev():
    assert not [(a, b) for a, b in ARROWS if b.startswith("mini_world") and not a.startswith(("mini_world", "dev"))]
    assert not [(a, b) for a, b in ARROWS if b.startswith("dev") and not a.startswith("dev")]


def test_steps_never_import_each_other():
    wrong = [
        (a, b)
        for a, b in ARROWS
        if part(a) in ("imagine", "seek") and part(b) == part(a) and step(b) not in {step(a), *SHARED, part(b)}
    ]
    assert not wrong


@pytest.mark.parametrize("path", sorted((ROOT / "rules").rglob("*.smk")), ids=lambda path: path.name)
def test_rule_files_are_short_and_one_imports_the_mini_world(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_RULES and ("import mini_world" in text or "from mini_world" in text) == (
        path.name == "mini_world.smk"
    )


def test_there_is_no_circle():
    graph: dict[str, set[str]] = {}
    for a, b in ARROWS:
        if not a.startswith(b + "."):  # a module of a package may read what the package itself defines
            graph.setdefault(a, set()).add(b)
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_short_and_plain(name):
    text = MODULES[name].read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST
    assert not [block.name for block in cc_visit(text) if block.complexity > MOST_TANGLED]


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_are_short_too(path):
    assert path.read_text(encoding="utf-8").count("\n") <= LONGEST
