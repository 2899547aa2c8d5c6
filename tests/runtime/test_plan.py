"""Counts from annotations, times from finished jobs of the same models and settings, and nothing guessed."""

import pytest
import yaml
from PIL import Image

from ipcir_steps.cli import main
from ipcir_steps.config import load_config
from ipcir_steps.core.files import write_json
from ipcir_steps.core.journal import run_journaled
from ipcir_steps.runtime.plan import Counts, configured, count, steps


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three queries on two references in a folder of four images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in "abcd":
        Image.new("RGB", (8, 8)).save(tmp_path / f"photos/{name}.png")
    (tmp_path / "q.csv").write_text("reference,caption\na.png,is red\na.png,is blue\nb.png,is large\n")
    photos = {
        "stack": "mini",
        "toy_models": True,
        "benchmark": "folder",
        "root": "photos",
        "queries": "q.csv",
        "exclude_reference": True,
        "lambda": 0.5,
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"datasets": {"photos": photos}, "run": ["photos"]}))
    return tmp_path


def finished(directory, dataset, shard, config, *, took, done, taken_over=0):
    """A captions job that has run: output with journal, benchmark file and record."""
    output = directory / f"results/{dataset}/val/shards/captions/{shard}.jsonl"
    items = list(range(done))
    run_journaled(
        items[:taken_over], lambda b: [{"captions": ["x"]} for _ in b], output=output, key="reference", key_of=str,
        context={}, title="t",
    )  # fmt: skip
    run_journaled(
        items, lambda b: [{"captions": ["x"]} for _ in b], output=output, key="reference", key_of=str,
        context={}, title="t",
    )  # fmt: skip
    benchmark = directory / f"benchmarks/results/{dataset}/val/captions/{shard}.tsv"
    benchmark.parent.mkdir(parents=True, exist_ok=True)
    benchmark.write_text(f"s\th:m:s\n{took}\t0:00:00\n")
    record = {
        "parameters": {"settings": config.captions.model_dump(mode="json")},
        "models": [{"source": config.models["captioner"].source}],
        "host": {"gpus": ["Some GPU"]},
    }
    write_json(directory / f"provenance/results/{dataset}/val/shards/captions/{shard}.jsonl.json", record)


def test_counts_come_from_the_annotations(folder):
    config = configured([folder / "mine.yaml"])
    assert count(config, "photos") == Counts(queries=3, references=2, gallery=4)
    planned = {step.name: step for step in steps(config.resolved("photos"), Counts(3, 2, 4), folder)}
    assert (planned["captions"].items, planned["proxies"].items) == (2, 3 * config.stacks["mini"].proxies.count)
    assert planned["mini: target_captions"].items == 3 * config.stacks["mini"].captions.count
    assert planned["captions"].hours is None and planned["captions"].disk is None
    assert planned["proxies"].bound and planned["proxies"].disk == 15 * 64 * 64 * 3


def test_times_come_from_jobs_of_the_same_models_and_settings(folder):
    config = load_config({}).with_stack("mini")
    finished(folder, "small", 0, config, took=20.0, done=4)
    finished(folder, "small", 1, config, took=10.0, done=6, taken_over=5)  # only one was made in that time
    planned = {step.name: step for step in steps(config, Counts(300, 100, 1000), folder)}
    assert planned["captions"].speed.per_item == 30 / 5
    assert planned["captions"].hours == pytest.approx(100 * 6 / 3600)
    assert planned["captions"].speed.where == "Some GPU"
    assert planned["captions"].disk == pytest.approx(100 * planned["captions"].speed.bytes_per_item)
    for change in ({"models": {"captioner": {"source": "other/model", "revision": "1"}}}, {"captions": {"beams": 9}}):
        other = {
            step.name: step
            for step in steps(
                load_config({"stacks": {"mini": change}}).with_stack("mini"), Counts(300, 100, 1000), folder
            )
        }
        assert other["captions"].speed is None


def test_the_command_says_what_is_not_known(folder, capsys):
    finished(folder, "small", 0, load_config({}).with_stack("mini"), took=7200.0, done=2)
    assert main(["plan", "mine.yaml"]) == 0
    told = capsys.readouterr().out
    assert "photos: 3 queries, 2 unique reference images, 4 gallery images, 15 images to draw" in told
    assert "GPU-hours: 2.00 for the steps with a benchmark" in told
    assert "No estimate of time for reasoning, layouts" in told
    assert any(line.split()[:5] == ["captions", "2", "images", "1.0", "h"] for line in told.splitlines())
    assert not (folder / "results/photos").exists()


def test_a_dataset_that_is_not_there_is_named(folder, capsys):
    assert main(["plan", "--dataset", "circo"]) == 1
    assert "circo: cannot be planned: " in capsys.readouterr().out
    assert main(["plan", "--dataset", "nothing"]) == 2
    assert main(["plan", "absent.yaml"]) == 2
