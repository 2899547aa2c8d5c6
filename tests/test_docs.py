"""What the documentation says that a machine can check: commands, options, targets, settings, paths, links, imports."""

import re
import tomllib

import pytest

from tests import commands, pages
from tests.pages import ROOT, read

PAGES = [ROOT / "README.md", ROOT / "config/README.md", *sorted((ROOT / "docs").glob("*.md"))]
named = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
# A benchmark that a page tells how to add is not there yet.
ADDED = {"benchmark: lasco": "benchmark: folder"}
CHECKS = [
    commands.wrong_options,
    pages.wrong_links,
    pages.wrong_yaml,
    pages.wrong_settings,
    pages.wrong_paths,
    pages.wrong_python_blocks,
    pages.wrong_diffs,
]


def page_of(path):
    text = path.read_text(encoding="utf-8")
    for new, known in ADDED.items():
        text = text.replace(new, known)
    return read(path, text)


@named
def test_commands_do_what_the_page_says(path, every_rule):
    page = page_of(path)
    ours = [what for what in commands.wrong_commands(page, every_rule) if not made_by_the_page(what, page)]
    assert ours == []


def made_by_the_page(complaint: str, page) -> bool:
    """A target of a step or a figure that the page itself tells how to add."""
    target = complaint.removeprefix("no rule makes ")
    return any(language == "python" and target.rpartition("/")[2] in text for language, text in page.blocks)


@named
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_the_page_names_exists(path, check):
    assert list(check(page_of(path))) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("    $ ipcir rankings --text t\n", "there is no command 'rankings'"),
        ("    $ ipcir tune --per-variants …\n", "ipcir tune has no option --per-variants"),
        ("Try `ipcir embeddings images --captions`.\n", "ipcir embeddings has no option --captions"),
        ("    $ ipcir fusion --variant rp\n", "the parser refuses: ipcir fusion --variant rp"),
        ("```console\n$ snakemake --coers 2\n```\n", "snakemake has no option --coers"),
        ("    $ snakemake results/circo_metrics.jsn\n", "no rule makes results/circo_metrics.jsn"),
        ("    $ snakemake figures --config runs='[cirr]'\n", "unknown key 'runs'"),
        ("Then `make demos`.\n", "there is no make target demos"),
        ("    python dev/benchmarks/rankings.py\n", "there is no dev/benchmarks/rankings.py"),
        ("    $ python -m dev.rehearsals --list\n", "there is no dev/rehearsals"),
        ("    $ python -m dev.rehearsal --lists\n", "dev/rehearsal has no --lists"),
        ("`python dev/benchmarks/ranking.py --publish-it`\n", "dev/benchmarks/ranking.py has no --publish-it"),
    ],
)
def test_a_wrong_command_is_found(text, complaint, every_rule):
    found = list(commands.wrong_commands(read(ROOT / "docs/new.md", text), every_rule))
    assert len(found) == 1 and complaint in found[0]


@pytest.mark.parametrize(
    ("check", "text", "complaint"),
    [
        (commands.wrong_options, "`--per-variants` chooses.", "nothing has the option --per-variants"),
        (pages.wrong_links, "[x](methods.md)", "there is no methods.md"),
        (pages.wrong_links, "[x](method.md#the-methods)", "method.md has no heading #the-methods"),
        (pages.wrong_links, "![x](images/no.png)", "there is no images/no.png"),
        (pages.wrong_yaml, "```yaml\nfusion: {weight: [1, 1, 1]}\n```", "unknown key 'fusion.weight'"),
        (pages.wrong_yaml, "```yaml\nlayouts: {backends: openai}\n```", "stacks.published.layouts.backends"),
        (pages.wrong_settings, "`fusion.scales: query`", "there is no setting fusion.scales"),
        (pages.wrong_settings, "`stacks.published.proxy.count`", "there is no setting stacks.published.proxy.count"),
        (pages.wrong_paths, "`tests/test_devices.py`", "there is no tests/test_devices.py"),
        (pages.wrong_paths, "`core/file.py`", "there is no core/file.py"),
        (pages.wrong_python_blocks, "```python\nfrom ipcir_steps.core import fils\n```", "core has no fils"),
        (pages.wrong_python_blocks, "```python\nfrom ipcir_steps.cor import x\n```", "No module named"),
        (pages.wrong_diffs, "```diff\n# ipcir_steps/steps.py\n-STEP = 1\n```", "no line 'STEP = 1'"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_found(check, text, complaint):
    found = list(check(read(ROOT / "docs/new.md", text)))
    assert len(found) == 1 and complaint in found[0]


def test_extras_that_are_named_can_be_installed():
    """`pip install 'ipcir[…]'` in docs and messages; an unknown extra would install nothing and only warn."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    files = [*PAGES, *ROOT.glob("ipcir_steps/**/*.py"), *ROOT.glob("mini_world/**/*.py")]
    found = {extra for file in files for extra in re.findall(r"ipcir\[(\w+)\]", file.read_text(encoding="utf-8"))}
    assert "photos" in found and found <= set(known)


def test_a_page_is_read_as_commonmark():
    page = read(
        ROOT / "docs/new.md",
        "# A `b`\n\n`c` [d](e.md)\n\n    $ make f\n\n```yaml\ng: 1\n```\n\n| `h` |\n|---|\n| `i` |\n",
    )
    assert page.headings == ["A `b`"] and page.links == ["e.md"] and page.inline == ["b", "c", "h", "i"]
    assert page.blocks == [("", "$ make f\n"), ("yaml", "g: 1\n")]
