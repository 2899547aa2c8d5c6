"""Download, disk, memory and GPU of a run, by the plan's figures, before it starts."""

import pytest
from PIL import Image

from ipcir_steps.config import load_config
from ipcir_steps.runtime import capacity, preflight
from ipcir_steps.runtime.capacity import Demand, demand, missing
from ipcir_steps.runtime.needs import Job

GB = 10**9


def job(rule, gpu=False, **wildcards):
    return Job(rule, wildcards, "", gpu)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Two queries on one picture, under the published stack."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos/a.png")
    (tmp_path / "photos/queries.csv").write_text("reference,caption\na.png,is red\na.png,is blue\n")
    photos = {"benchmark": "folder", "root": "photos", "exclude_reference": True, "lambda": 0.5}
    return load_config({"datasets": {"photos": photos}})


def run(config, stack="published"):
    """The jobs of a run that has everything before it."""
    models = [job("model", stack=stack, role=role) for role in config.stacks[stack].models]
    clip = [job("clip_model", stack=stack, backbone=name) for name in config.stacks[stack].backbones]
    place = {"dataset": "photos", "split": "val"}
    steps = [job(rule, True, **place, device="0") for rule in ("captions", "reasoning", "layouts", "masks", "proxies")]
    return [*models, *clip, *steps, job("proxies_features", True, **place, backbone="ViT-L-14")]


def test_the_published_stack_asks_for_what_its_plan_says(config, monkeypatch):
    monkeypatch.setattr(capacity.memory, "devices", lambda config, step: ["cuda"])
    asked = demand(run(config), config)
    assert sum(asked.download.values()) == pytest.approx(59.0 * GB, rel=0.01)
    assert "Salesforce/blip2-opt-6.7b-coco" in asked.download and not any("MIGC" in name for name in asked.download)
    pictures, records, features = 2 * 5 * 512 * 512 * 3, 2 * 3 * (900 + 1000 + 1300 + 1600), (1 + 2 * 36) * 4 * 768
    assert asked.results == pictures + records + features
    assert asked.host[0] > 40 * GB and asked.host[1] == "captions of stack published"
    assert 20 * GB < asked.device[0] < 24 * GB


def test_what_is_here_is_not_fetched_again(config, tmp_path):
    own = tmp_path / "blip2"
    own.mkdir()
    (own / "model.bin").write_bytes(b"weights")
    changed = load_config({"stacks": {"published": {"models": {"captioner": {"source": str(own)}}}}})
    asked = demand([job("model", stack="published", role=role) for role in ("captioner", "segmenter")], changed)
    assert list(asked.download) == ["facebook/sam-vit-huge"]


def test_toy_models_ask_for_nothing(config):
    jobs = [job("dataset", dataset="mini_cirr", split="val"), job("proxies", True, dataset="mini_cirr", split="val")]
    asked = demand([*jobs, job("model", stack="mini", role="llm")], config)
    assert not asked.download and not asked.results and asked.host[0] < 2 * GB


def test_what_does_not_fit_is_named_and_only_a_full_disk_stops(monkeypatch):
    monkeypatch.setenv("IPCIR_DEVICES", "0")
    monkeypatch.setattr(capacity, "device_memory", lambda: 24 * GB)
    monkeypatch.setattr(capacity, "total_memory", lambda: 16 * GB)
    asked = Demand({"a/b": 1 << 60}, 0, (50 * GB, "captions of stack s"), (28 * GB, "layouts of stack s"))
    disk, memory, device = missing(asked, needs_gpu=True)
    assert disk.stops and "of 1 models are to be downloaded" in disk.what and "are free" in disk.what
    assert "a/b" in disk.remedy
    assert not memory.stops and "captions of stack s needs about 50.0 GB of memory, this machine has" in memory.what
    assert not device.stops and "layouts of stack s needs about 28.0 GB of GPU memory, the GPU has 24.0" in device.what
    monkeypatch.setenv("IPCIR_DEVICES", "")
    [gpu] = missing(Demand({}, 0, (1 * GB, "x"), (28 * GB, "y")), needs_gpu=True)
    assert gpu.what == "no GPU was found" and not gpu.stops


def test_a_download_that_fits_and_results_that_may_not_are_told():
    fetched, results = missing(Demand({"a/b": 1000, "c/d": 500}, 1 << 60), needs_gpu=False)
    assert fetched.what == "1.5 kB of 2 models are to be downloaded" and "a/b, c/d" in fetched.remedy
    assert "results may take" in results.what and not fetched.stops and not results.stops


def test_it_is_part_of_the_one_message(config, monkeypatch):
    """Memory and GPU count where the jobs run here, the download wherever they run."""
    monkeypatch.setattr(capacity, "total_memory", lambda: 1 * GB)
    for here in (True, False):
        text = preflight.report(preflight.of_jobs(run(config), config, installed_here=False, here=here))
        assert "GB of 7 models are to be downloaded" in text and "MIGC_SD14.ckpt" in text
        assert ("of memory, this machine has 1.0 GB" in text) == here


def test_a_setting_of_the_frontier_needs_what_it_draws_with():
    big = {"proxies": {"width": 1024, "height": 1024, "proxies_per_batch": 5, "count": 5}}
    config = load_config({"frontier": {"settings": {"big": big}}})
    whole = demand([job("proxies", True, dataset="circo", split="val")], config)
    drawn = demand([job("drawn", True, dataset="circo", split="val", setting="big")], config)
    assert drawn.host[0] > whole.host[0] and drawn.host[1] == "proxies of stack published"
