"""docs/extending.md as it stands: its code is put into a copy of the project, its command runs, once."""

import dataclasses
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from ipcir_steps.core.files import dumps, read_json, read_jsonl
from tests.workflow.conftest import DRAWN, ROOT, Workspace

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```|^    \$ (.*?)$", re.MULTILINE | re.DOTALL)


def section(title: str) -> list[tuple[str, str]]:
    """The blocks below a heading of the page in order: (language, or "command", text)."""
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    text = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1]
    return [(language or "command", body or command) for language, body, command in BLOCK.findall(text)]


def patched(text: str, change: str) -> str:
    """``change`` in the page's form made in a file's text: a line with ``+`` comes below the line above it.

    >>> patched("a\\nb\\n", " a\\n+c\\n")
    'a\\nc\\nb\\n'
    >>> patched("a\\nb\\n", "-a\\n+c\\n")
    'c\\nb\\n'
    """
    lines, place = text.splitlines(), None
    for line in change.splitlines():
        mark, rest = line[0], line[1:]
        if mark == "+":
            lines.insert(place, rest)
            place += 1
        else:
            place = lines.index(rest) + (mark == " ")
            if mark == "-":
                del lines[place]
    return "\n".join(lines) + "\n"


@dataclasses.dataclass
class Trial:
    """A finished workspace with its own copy of the packages, to be extended."""

    workspace: Workspace

    def follow(self, title: str, changes: dict | None = None) -> str:
        """Do what the section says, on the dataset ``mine``; returns what Snakemake printed.

        changes: of the section's settings. Every block of code is a new file or lines of one.
        """
        files, lines, config = 0, 0, {**DRAWN, "datasets": {"mine": dict(DRAWN["datasets"]["mine"])}}
        for language, text in section(title):
            head, _, body = text.partition("\n")
            path = self.workspace / head.removeprefix("# ")
            if language == "python":
                assert not path.exists()
                path.write_text(body, encoding="utf-8")
                files += 1
            elif language == "diff":
                path.write_text(patched(path.read_text(encoding="utf-8"), body), encoding="utf-8")
                lines += sum(line.startswith("+") for line in body.splitlines())
            elif language == "yaml":
                config.update(yaml.safe_load(text))
            else:
                command = shlex.split(text)
        assert files <= 1 and lines <= 2  # what the page promises
        config.update(changes or {})
        targets = [word for word in command if word.startswith("results/")]
        done = self.workspace.snakemake(*(re.sub("(mini_)?(circo|lasco)", "mine", t) for t in targets), config=config)
        return done.stdout + done.stderr

    def result(self, name: str):
        return read_json(self.workspace / f"results/{name}")


@pytest.fixture
def trial(finished_workspace) -> Trial:
    for name in ("ipcir_steps", "mini_world"):
        shutil.copytree(ROOT / name, finished_workspace / name, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    return Trial(dataclasses.replace(finished_workspace, source=finished_workspace.directory))


@pytest.mark.slow
def test_a_variant(trial):
    trial.follow("A variant")
    assert "no_proxy_sum" in [entry["variant"] for entry in trial.result("mine_metrics.json")["entries"]]
    assert "no proxy, weighted sum" in (trial.workspace / "results/tables/table3.md").read_text()


@pytest.mark.slow
def test_a_baseline_gets_its_settings(trial):
    trial.follow("A baseline")
    entries = [e for e in trial.result("mine_metrics.json")["entries"] if e["baseline"] == "away"]
    assert len(entries) == len({e["variant"] for e in trial.result("mine_metrics.json")["entries"]})
    wrong = {
        "custom_baselines": {"away": {"function": "away:text_features", "settings": {"facto": 1}}},
        "baselines": ["away"],
    }
    done = trial.workspace.snakemake("results/mine_metrics.json", config={**DRAWN, **wrong}, check=False)
    assert done.returncode and "facto" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_generator_with_two_models(trial):
    shutil.copytree(trial.workspace / "resources/mini/models/sd", trial.workspace / "models/refiner")
    printed = trial.follow("A generator")
    assert "gather_masks" not in printed and "gather_proxies" in printed
    index = read_jsonl(next((trial.workspace / "results/mine/val/proxies").glob("refined*/index.jsonl")))
    assert len(index) == 4


@pytest.mark.slow
def test_a_backbone(trial):
    shutil.copytree(trial.workspace / "resources/mini/models/clip", trial.workspace / "models/other")
    trial.follow("A backbone")
    assert {entry["backbone"] for entry in trial.result("mine_metrics.json")["entries"]} == {"mini", "other"}


@pytest.mark.slow
def test_a_figure(trial):
    trial.follow("A figure")
    assert (trial.workspace / "results/figures/gains.svg").stat().st_size > 1000


@pytest.mark.slow
def test_a_step(trial):
    trial.follow("A step")
    kept = read_jsonl(trial.workspace / "results/mine/val/overlap.jsonl")
    assert len(kept) == 4 and all(0 <= share <= 1 for record in kept for share in record["kept"])
    done = trial.workspace.run("ipcir", "audit", "--json", "results/mine/val/overlap.jsonl")
    assert "imagine" in done.stdout or done.returncode == 0, done.stdout[:2000]


@pytest.mark.slow
def test_a_benchmark(trial):
    root = trial.workspace / "lasco"
    shutil.copytree(trial.workspace / "photos", root)
    corpus = [{"id": number, "path": f"p{number}.png"} for number in range(10)]
    asked = [
        {"qid": n, "query-image": [n, f"p{n}.png"], "target-image": [n + 5, f"p{n + 5}.png"], "query-text": "is redder"}
        for n in range(4)
    ]
    for name, records in (("lasco_val_corpus", corpus), ("lasco_val", asked)):
        Path(root, f"{name}.json").write_text(dumps(records))
    lasco = {"benchmark": "lasco", "root": "lasco", "exclude_reference": False, "lambda": 0.5}
    datasets = {"mine": {**lasco, "stack": "mini", "toy_models": True}}
    shutil.rmtree(trial.workspace / "results")
    trial.follow("A benchmark", {"datasets": datasets})
    result = trial.result("mine_metrics.json")
    assert set(result["entries"][0]["metrics"]) == {"recall@1", "recall@5", "recall@10", "recall@50"}
    assert "| R@50" in (trial.workspace / "results/tables/table1.md").read_text()
