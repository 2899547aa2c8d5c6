"""Counts from annotations; times from finished jobs of the same models and settings, else from counted operations."""

import re

import pytest
import yaml
from PIL import Image

from ipcir_steps.cli import main
from ipcir_steps.config import load_config
from ipcir_steps.config.generation import generator_roles
from ipcir_steps.core.files import write_json
from ipcir_steps.core.journal import run_journaled
from ipcir_steps.runtime.plan import configured, count
from ipcir_steps.runtime.plan.machines import MACHINES
from ipcir_steps.runtime.plan.memory import need
from ipcir_steps.runtime.plan.steps import Counts, steps


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


def finished(directory, dataset, shard, config, *, took, done, taken_over=0, device=None):
    """A captions job that has run: output with journal, benchmark file and record. Every shard is one job, unless the
    device is named."""
    device = shard if device is None else device
    name = f"{device}-{shard}"
    output = directory / f"results/{dataset}/val/shards/captions/{name}.jsonl"
    items = list(range(done))
    run_journaled(
        items[:taken_over], lambda b: [{"captions": ["x"]} for _ in b], output=output, key="reference", key_of=str,
        context={}, title="t",
    )  # fmt: skip
    run_journaled(
        items, lambda b: [{"captions": ["x"]} for _ in b], output=output, key="reference", key_of=str,
        context={}, title="t",
    )  # fmt: skip
    benchmark = directory / f"benchmarks/results/{dataset}/val/captions/{device}.tsv"
    benchmark.parent.mkdir(parents=True, exist_ok=True)
    benchmark.write_text(f"s\th:m:s\tmax_rss\n{took}\t0:00:00\t1500\n")
    record = {
        "parameters": {"settings": config.captions.model_dump(mode="json")},
        "models": [{"source": config.models["captioner"].source}],
        "host": {"gpus": ["Some GPU"]},
    }
    write_json(directory / f"provenance/results/{dataset}/val/shards/captions/{name}.jsonl.json", record)


def test_counts_come_from_the_annotations(folder):
    config = configured([folder / "mine.yaml"])
    assert count(config, "photos") == Counts(queries=3, references=2, gallery=4)
    planned = {step.name: step for step in steps(config.resolved("photos"), Counts(3, 2, 4), folder)}
    assert (planned["captions"].items, planned["proxies"].items) == (2, 3 * config.stacks["mini"].proxies.count)
    assert planned["mini: target_captions"].items == 3 * config.stacks["mini"].captions.count
    assert planned["captions"].hours("a6000") is None  # a rule has still to make the mini models
    assert planned["proxies"].bound and planned["proxies"].disk == 15 * 64 * 64 * 3


def test_times_come_from_jobs_of_the_same_models_and_settings(folder):
    config = load_config({}).with_stack("mini")
    finished(folder, "small", 0, config, took=20.0, done=4)
    finished(folder, "small", 1, config, took=10.0, done=6, taken_over=5)  # only one was made in that time
    planned = {step.name: step for step in steps(config, Counts(300, 100, 1000), folder)}
    assert planned["captions"].speed.per_item == 30 / 5
    assert planned["captions"].hours("a6000") == planned["captions"].hours("l4") == pytest.approx(100 * 6 / 3600)
    assert planned["captions"].speed.peak == 1500 * 2**20
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


def test_an_image_takes_as_long_as_one_of_the_same_models(tmp_path):
    """Also of those that a generator takes where there are some: LoRA weights, ELITE, a small decoder."""
    lora = {"models": {"lora": {"source": "someone/lora", "revision": "1"}}, "extends": "mini"}
    plain = load_config({}).with_stack("mini")
    added = load_config({"stacks": {"own": lora}}).with_stack("own")
    shard = tmp_path / "results/small/val/shards/proxies/0-1.jsonl"
    run_journaled(
        ["q"], lambda b: [{"images": []} for _ in b], output=shard, key="query_id", key_of=str, context={}, title="t"
    )
    times = tmp_path / "benchmarks/results/small/val/proxies/0.tsv"
    times.parent.mkdir(parents=True)
    times.write_text("s\tmax_rss\n10.0\t1500\n")

    def measured(ran, planned):
        used = [{"source": ran.models[role].source} for role in generator_roles(ran.proxies, ran.models)]
        record = {"parameters": {"settings": ran.proxies.model_dump(mode="json")}, "models": used}
        write_json(tmp_path / "provenance/results/small/val/shards/proxies/0-1.jsonl.json", record)
        found = {step.name: step for step in steps(planned, Counts(3, 3, 3), tmp_path)}
        return found["proxies"].speed is not None

    assert measured(plain, plain) and measured(added, added)
    assert not measured(plain, added) and not measured(added, plain)


def test_the_shards_of_a_device_are_one_job(folder):
    config = load_config({}).with_stack("mini")
    for shard in range(3):
        finished(folder, "small", shard, config, took=30.0, done=4, device=0)
    [captions] = [step for step in steps(config, Counts(300, 100, 1000), folder) if step.name == "captions"]
    assert captions.speed.per_item == 30 / 12 and len(captions.speed.jobs) == 1


def test_the_command_says_what_is_not_known(folder, capsys):
    finished(folder, "small", 0, load_config({}).with_stack("mini"), took=7200.0, done=2)
    assert main(["plan", "mine.yaml", "--device", "a100"]) == 0
    told = capsys.readouterr().out
    assert "photos: 3 queries, 2 unique reference images, 4 gallery images, 15 images to draw; stack mini" in told
    assert "GPU hours on one NVIDIA A100 80 GB: 2.0" in told and "No estimate of time for reasoning, layouts" in told
    row = next(line for line in told.splitlines() if line.startswith("captions"))
    assert row.split()[:5] == ["captions", "2", "images", "1.0", "h"] and "1.6 GB" in row
    assert row.endswith("measured on Some GPU")
    assert not (folder / "results/photos").exists()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The plan of CIRR's validation split under the published stack, where nothing ever ran."""
    config = load_config({}).with_stack("published")
    return list(steps(config, Counts(4181, 2165, 2297), tmp_path_factory.mktemp("nothing")))


@pytest.mark.parametrize("device", sorted(MACHINES))
def test_every_published_step_has_a_time_on_every_device(published, device):
    assert all(step.speed is None and step.hours(device) > 0 and step.disk > 0 for step in published)


def test_every_published_step_has_its_memory(published):
    assert all(step.needs.host > 1e9 for step in published[:-1])
    assert all(step.needs.device > 1e9 or step.name.endswith(": ldre") for step in published[:-1])  # features alone


def test_an_image_takes_about_as_long_as_the_paper_reports(published):
    assert 1.5 < next(step for step in published if step.name == "proxies").per_item("a6000") < 2.5


@pytest.mark.parametrize("stack", ["published", "modern", "laptop"])
def test_the_built_in_stacks_are_planned_without_a_gap(folder, capsys, stack):
    """Issue 18, case 7."""
    assert main(["plan", "mine.yaml", "--stack", stack, "--device", "core" if stack == "laptop" else "l4"]) == 0
    told = capsys.readouterr().out
    assert "?" not in told and "unknown" not in told and "not counted" not in told
    if stack == "published":
        rows = {line.partition("  ")[0]: line for line in told.splitlines()}
        assert "counted: 83" in rows["proxies"] and "published size" in rows["llm"]
        assert "the IP-CIR paper reports about 2 s" in told and re.search(r"Models: 59\.\d GB", told)


@pytest.mark.parametrize("stack", ["published", "modern"])
def test_batches_of_the_stacks_fit_a_gpu_of_24_gb(stack):
    """A model's weights, its batch and CUDA's context, with a twentieth to spare."""
    config = load_config({}).with_stack(stack)
    needs = {step: need(config, step, "cuda").device for step in ("captions", "reasoning", "layouts", "proxies")}
    needs["features"] = max(need(config, "image_features", "cuda", backbone).device for backbone in config.backbones)
    if stack == "published":
        needs["masks"] = need(config, "masks", "cuda").device
    assert min(needs.values()) > 1e9 and max(needs.values()) < 0.95 * 24e9, needs


def test_a_dataset_that_is_not_there_is_named(folder, capsys):
    assert main(["plan", "--dataset", "circo"]) == 1
    assert "circo: cannot be planned: " in capsys.readouterr().out
    assert main(["plan", "--dataset", "nothing"]) == 2
    assert main(["plan", "absent.yaml"]) == 2
