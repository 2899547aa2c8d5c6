"""Every extension of docs/extending.md, as the page has it: at most one new file and two changed lines, right at once.

All are made in one copy of the package; nothing of it is written here.
"""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.core.files import read_json, read_jsonl, write_json, write_jsonl
from ipcir_steps.core.records import Query, write_records
from tests.pages import ROOT, read

PAGE = read(ROOT / "docs/extending.md")
COPIED = ("ipcir_steps", "rules", "profiles", "schemas", "Snakefile", "config.yaml")
LINKED = ("mini_world", "envs", "containers", "report")


def files() -> dict[str, str]:
    """{path: text} of the new files; each names itself in its first line."""
    found = {}
    for text in (text for language, text in PAGE.blocks if language == "python"):
        first, _, rest = text.partition("\n")
        found[first.removeprefix("# ")] = rest
    return found


def changed(text: str, change: str) -> str:
    """A file after a change: the lines with a minus give way to those with a plus, or these follow what is above."""
    old = "".join(f"{line[1:]}\n" for line in change.splitlines() if line[0] in "- ")
    new = "".join(f"{line[1:]}\n" for line in change.splitlines() if line[0] in "+ ")
    assert text.count(old) == 1, old
    return text.replace(old, new)


def changes() -> list[tuple[str, str]]:
    """(path, change); lines that are taken away and put in take turns, so each pair is a change of its own."""
    found = []
    for text in (text for language, text in PAGE.blocks if language == "diff"):
        first, _, rest = text.partition("\n")
        parts = re.findall(r"(?:^[- ].*\n)+(?:^\+.*\n)+", rest, re.MULTILINE)
        assert "".join(parts) == rest
        found += [(first.removeprefix("# "), part) for part in parts]
    return found


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the package with every extension, and a function that runs a command in it."""
    directory = tmp_path_factory.mktemp("extended")
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, directory / name)
    for name in LINKED:
        (directory / name).symlink_to(ROOT / name)
    for path, text in files().items():
        assert not (directory / path).exists()
        (directory / path).write_text(text, encoding="utf-8")
    for path, change in changes():
        file = directory / path
        file.write_text(changed(file.read_text(encoding="utf-8"), change), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(directory), "IPCIR_PROVENANCE": ""}

    def run(*words, code=0) -> str:
        command = [sys.executable, "-m", *map(str, words)]
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    run.directory = directory
    return run


def test_an_extension_is_a_file_and_two_lines():
    added = [line for _, change in changes() for line in change.splitlines() if line.startswith("+")]
    # Benchmark 1, variant 1 (wrapped), figure 2, step 1.
    assert len(files()) == 5 and len(changes()) == 5 and len(added) == 6


def config_of_the_run(benchmark: str) -> dict:
    """The configurations of the page as one, for a dataset of the mini world."""
    merged: dict = {}
    for values in (yaml.safe_load(text) for language, text in PAGE.blocks if language == "yaml"):
        stack = merged.get("stacks", {}).get("mini", {}) | values.get("stacks", {}).get("mini", {})
        merged |= values | ({"stacks": {"mini": stack}} if stack else {})
    return merged | {"run": ["mini_circo", benchmark]}


def test_the_workflow_plans_all_of_them(extended):
    """One dry run of what the page asks for: benchmark, variant, baseline, generator, backbone, figure and step."""
    (extended.directory / "mine.yaml").write_text(yaml.safe_dump(config_of_the_run("lasco")))
    targets = re.findall(r"results/\S+", " ".join(text for _, text in PAGE.blocks if text.startswith("$ snakemake")))
    assert len(targets) == 10
    told = extended("snakemake", "-n", "-p", *dict.fromkeys(targets), "--configfile", "mine.yaml")
    for what in (
        "results/lasco/val/queries.jsonl",
        "--variants base pi rp rp_bm no_proxy other_proxy no_proxy_sum",
        "ipcir baselines away:text_features",
        "refiner=resources/manifests/mini/refiner.json",
        "results/mini_circo/val/other/gallery.safetensors",
        "ipcir figures gains",
        "ipcir overlap",
    ):
        assert what in told
    # A generator that does not need masks gets none; CIRCO's, another stack's, does.
    masks = re.findall(r"ipcir masks --queries (\S+)", told)
    assert masks and not any("mini_circo" in path for path in masks)


def test_a_benchmark_is_read_and_scored(extended):
    root = extended.directory / "data/LaSCo"
    (root / "images").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (8, 8), (80 * number, 0, 0)).save(root / f"images/{number}.jpg")
    write_json(root / "lasco_val_corpus.json", [{"id": n, "path": f"images/{n}.jpg"} for n in range(3)])
    sides = {"query-image": [0, "images/0.jpg"], "target-image": [2, "images/2.jpg"]}
    write_json(root / "lasco_val.json", [{"qid": 7, "query-text": "is brighter", **sides}])
    settings = '{"benchmark": "lasco", "root": "data/LaSCo"}'
    extended("ipcir_steps", "datasets", "--settings", settings, "--split", "val", "--output", "read")
    write_json(extended.directory / "lists.json", {"7": ["1", "2", "0"]})
    words = ["--rankings", "lists.json", "--queries", "read/queries.jsonl", "--output", "scored.json"]
    extended("ipcir_steps", "metrics", "--benchmark", "lasco", *words)
    scored = read_json(extended.directory / "scored.json")["metrics"]
    assert scored == {"recall@1": 0, "recall@5": 1, "recall@10": 1, "recall@50": 1}


def test_a_baseline_gets_its_settings(extended):
    queries = [Query("a", "x", ("brighter",), ("y",)), Query("b", "y", ("darker",), ("x",))]
    write_records(extended.directory / "queries.jsonl", queries)
    rows = {"target": np.full((2, 2, 3), 2, np.float32), "source": np.ones((2, 2, 3), np.float32)}
    for name, values in rows.items():
        save_features(extended.directory / f"{name}.safetensors", Features(values, ("a", "b"), (), {"model": "m"}))
    words = ["--queries", "queries.jsonl", "--benchmark", "circo", "--output", "text.safetensors"]
    words += ["--target-captions", "target.safetensors", "--source-captions", "source.safetensors"]
    baseline = ["ipcir_steps", "baselines", "away:text_features", *words, "--settings"]
    extended(*baseline, '{"factor": 0.25}')
    assert np.allclose(load_features(extended.directory / "text.safetensors").values, 2.25)
    assert "factr" in extended(*baseline, '{"factr": 0.25}', code=2)


def test_a_step_runs(extended):
    for name, caption in (("source", "a red dog"), ("target", "a dog at night")):
        write_jsonl(extended.directory / f"{name}.jsonl", [{"query_id": "a", "captions": [caption]}])
    extended("ipcir_steps", "overlap", "--source", "source.jsonl", "--target", "target.jsonl", "--output", "kept.jsonl")
    assert list(read_jsonl(extended.directory / "kept.jsonl")) == [{"query_id": "a", "kept": [2 / 3]}]
    assert "overlap" in extended("ipcir_steps", "--help")


def test_a_figure_is_drawn(extended):
    change = {"mAP@5": {"value": 0.03, "low": 0.01, "high": 0.05}}
    entry = {"backbone": "B", "baseline": "ldre", "variant": "rp_bm", "difference": change}
    write_json(extended.directory / "result.json", {"dataset": "d", "queries": 9, "entries": [entry]})
    extended("ipcir_steps", "figures", "gains", "--results", "result.json", "--svg", "gains.svg", "--png", "gains.png")
    assert (
        "<svg" in (extended.directory / "gains.svg").read_text() and (extended.directory / "gains.png").stat().st_size
    )
