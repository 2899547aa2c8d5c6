"""One message before any job starts: everything that is missing for what was asked, and nothing that is not."""

import shutil
from types import SimpleNamespace

import pytest
from PIL import Image

from ipcir_steps.config import load_config
from ipcir_steps.runtime import preflight
from ipcir_steps.runtime.preflight import Job, Need

HAND_FETCHED = {
    "migc": "MIGC_SD14.ckpt",
    "elite_global": "elite_global_mapper.pt",
    "elite_local": "elite_local_mapper.pt",
}


def job(rule, family="vision", gpu=False, **wildcards):
    return Job(rule, wildcards, family, gpu)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory on a disk with room for every model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**13))
    return tmp_path


def folder(here, **more):
    photos = {"benchmark": "folder", "root": "photos", "exclude_reference": True, "lambda": 0.5, **more}
    return load_config({"datasets": {"photos": photos}})


def texts(needs):
    return [need.what for need in needs if need.stops]


def test_what_is_fetched_by_hand_is_named_with_where_it_goes(here):
    jobs = [job("model", stack="published", role=role) for role in load_config({}).stacks["published"].models]
    needs = preflight.of_jobs([*jobs, job("proxies", dataset="cirr", gpu=True)], load_config({}), installed_here=False)
    for role, file in HAND_FETCHED.items():
        [need] = [need for need in needs if file in need.what]
        assert "https://github.com/" in need.remedy and f"stacks.published.models.{role}.source" in need.remedy
    [statistics] = [need for need in needs if "coco_box_statistics.json" in need.what]
    assert "proxies.statistics: null" in statistics.remedy and "instances_train2017.json" in statistics.remedy
    assert len(texts(needs)) == 4  # models of a hub are fetched by their rule
    for file in HAND_FETCHED.values():
        (here / "data/models").mkdir(parents=True, exist_ok=True)
        (here / "data/models" / file).touch()
    assert len(texts(preflight.of_jobs(jobs, load_config({}), installed_here=False))) == 0


def test_statistics_that_a_rule_can_make_are_not_missing(here):
    (here / "data/COCO/annotations").mkdir(parents=True)
    (here / "data/COCO/annotations/instances_train2017.json").touch()
    asked = [job("proxies", dataset="cirr")]
    assert not texts(preflight.of_jobs(asked, load_config({}), installed_here=False))
    elsewhere = load_config({"stacks": {"published": {"proxies": {"statistics": "mine.json"}}}})
    [need] = texts(preflight.of_jobs(asked, elsewhere, installed_here=False))
    assert "mine.json" in need


def engine_needs(**changes):
    stack = load_config({"stacks": {"published": changes}}).stacks["published"]
    return list(preflight.of_engine("published", stack, stack.layouts))


def test_a_quantised_model_names_its_package(monkeypatch):
    monkeypatch.setattr(preflight, "QUANTISED", {"gptq": "no_such_module"})
    [need] = engine_needs()
    assert "no_such_module" in need.what and "ipcir[quantised]" in need.remedy
    assert not engine_needs(models={"llm": {"source": "Qwen/Qwen3-4B"}})


def test_the_engine_of_a_chat_model_is_a_package_too(monkeypatch):
    monkeypatch.setattr(preflight, "QUANTISED", {"gptq": "no_such_module"})
    engines = {name: ("no_such_module", *about[1:]) for name, about in preflight.ENGINES.items()}
    monkeypatch.setattr(preflight, "ENGINES", engines)
    [need] = engine_needs(layouts={"backend": "vllm"})
    assert "package vllm" in need.what and "server_python" in need.remedy
    assert not engine_needs(layouts={"backend": "vllm", "server": True, "server_python": "/opt/vllm/bin/python"})
    judging = load_config({"verify": {"judge": "yes_no", "chat": {"backend": "vllm"}}})
    [need] = [n for n in preflight.of_jobs([job("verify", "", dataset="cirr")], judging) if "package vllm" in n.what]
    assert "stack published" in need.what
    laptop = load_config({"datasets": {"cirr": {"stack": "laptop"}}})
    found = preflight.of_jobs([job("reasoning", "", dataset="cirr"), job("layouts", "", dataset="cirr")], laptop)
    [need] = [need for need in found if "llama-cpp-python" in need.what]
    assert "ipcir[llama]" in need.remedy


def test_a_backbone_that_mteb_reads_names_the_package(monkeypatch):
    monkeypatch.setattr(preflight.importlib.util, "find_spec", lambda name: None)
    clip = {"mine": {"source": "./mine", "architecture": "mteb:openai/clip-vit-base-patch32"}}
    for backbones, count in ((["mine"], 1), (["ViT-L-14"], 0)):
        stack = load_config({"stacks": {"published": {"clip": clip, "backbones": backbones}}}).stacks["published"]
        assert [need.what for need in preflight.of_backbones("published", stack)] == [
            "package mteb, which reads mine of stack published"
        ] * count


def test_a_quantised_model_is_fetched_without_its_package(here, monkeypatch):
    """As on the node of a cluster that has the network."""
    monkeypatch.setattr(preflight, "QUANTISED", {"gptq": "no_such_module"})
    fetching, asking = job("model", stack="published", role="llm"), job("layouts", "", dataset="cirr")
    assert not [need for need in preflight.of_jobs([fetching], load_config({})) if "no_such_module" in need.what]
    [need] = [need for need in preflight.of_jobs([fetching, asking], load_config({})) if "no_such" in need.what]
    assert "stacks.published.models.llm.source" in need.remedy


@pytest.mark.parametrize(
    ("source", "local"),
    [
        ("Salesforce/blip2-opt-6.7b-coco", False),
        ("Qwen/Qwen2.5-3B-Instruct-GGUF", False),
        ("data/models/MIGC_SD14.ckpt", True),
        ("models/mine.safetensors", True),
        ("./blip2", True),
        ("/srv/models/blip2", True),
    ],
)
def test_hub_ids_and_paths_are_told_apart(source, local):
    assert preflight.is_local(source) == local


def test_a_dataset_without_annotations_images_or_queries_is_named(here):
    asked = [job("dataset", dataset="cirr", split="val")]
    [need] = [need for need in preflight.of_jobs(asked, load_config({})) if need.stops]
    assert "dataset cirr: data/CIRR/cirr/image_splits/split.rc2.val.json" in need.what and "github.com" in need.remedy
    (here / "photos").mkdir()
    asked = [job("dataset", dataset="photos", split="val")]
    [need] = [need for need in preflight.of_jobs(asked, folder(here)) if need.stops]
    assert "photos/queries.csv: the CSV of queries is missing" in need.what


@pytest.mark.parametrize(
    ("named", "place"), [(None, "photos/queries.csv"), ("q.csv", "photos/q.csv"), ("q.csv", "q.csv")]
)
def test_the_csv_may_lie_in_the_folder(here, named, place):
    (here / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(here / "photos/a.png")
    (here / place).write_text("reference,caption\na.png,is red\n")
    config = folder(here, **({"queries": named} if named else {}))
    assert not texts(preflight.of_jobs([job("dataset", dataset="photos", split="val")], config))


def test_missing_images_are_counted(published, here):
    root = published / "CIRR"
    config = load_config({"datasets": {"cirr": {"root": str(root)}}})
    [need] = list(preflight.of_dataset("cirr", config.datasets["cirr"], "val"))
    assert "2,297 of 2,297 images of val are not in" in need.what and need.stops


def test_packages_are_named(monkeypatch):
    monkeypatch.setattr(preflight, "PACKAGES", {"vision": {"no_such_module": "some-package", "json": "json"}})
    [need] = preflight.of_packages(["vision", "vision"])
    assert need.what == "packages of the vision steps: some-package" and "ipcir[vision]" in need.remedy


def test_the_message_counts_and_numbers():
    text = preflight.report(
        [Need("good", "Fine.", stops=False), Need("a", "Get a."), Need("a", "Get a."), Need("b", "B.")]
    )
    head, *lines = text.splitlines()
    assert head == "2 things are missing for this run:"
    assert lines == ["  1. a", "     Get a.", "  2. b", "     B.", "Good to know:", "  - good. Fine."]
    assert preflight.report([]) == ""
