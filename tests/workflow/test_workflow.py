"""The whole workflow on folders of pictures: real model classes, tiny weights, one command."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import yaml

from ipcir_steps.core.features import load_features
from ipcir_steps.core.files import read_json, read_jsonl
from ipcir_steps.evaluate.reporting.figures import FIGURES, cards

ROOT = Path(__file__).parents[2]
SMALL = {
    "stacks": {
        "mini": {
            "captions": {"count": 2, "max_new_tokens": 6},
            "reasoning": {"max_new_tokens": 6},
            "layouts": {"max_new_tokens": 256, "max_instances": 2, "max_text": 24},
            "proxies": {"count": 2, "steps": 2, "width": 64, "height": 64},
        }
    },
    "resamples": 200,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The tiny checkpoints, built once."""
    directory = tmp_path_factory.mktemp("mini")
    ipcir("mini", "models", "--seed", "1", "--output", directory / "models")
    return directory / "models"


def ipcir(*arguments):
    subprocess.run([sys.executable, "-m", "ipcir_steps", *map(str, arguments)], check=True, cwd=ROOT)


@pytest.fixture
def workspace(tmp_path, models):
    """A copy of the workflow's files, with the models in place."""
    return make_workspace(tmp_path / "work", models)


def make_workspace(directory, models):
    directory.mkdir()
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, directory)
    for name in ("rules", "envs", "profiles", "report"):
        shutil.copytree(ROOT / name, directory / name)
    (directory / "resources/mini").mkdir(parents=True)
    shutil.copytree(models, directory / "resources/mini/models")
    return directory


def snakemake(directory, *arguments, config=None, check=True):
    (directory / "mine.yaml").write_text(yaml.safe_dump({**SMALL, **(config or {})}))
    bin_directory = directory / "bin"
    bin_directory.mkdir(exist_ok=True)
    (bin_directory / "ipcir").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ipcir_steps "$@"\n')
    (bin_directory / "ipcir").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{bin_directory}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "IPCIR_PROVENANCE": "provenance",
        "XDG_CACHE_HOME": str(directory / "cache"),
    }
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", "mine.yaml"]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def pictures(directory, count=10):
    directory.mkdir()
    for number in range(count):
        image = PIL.Image.new("RGB", (60 + number, 64), (25 * number, 90, 255 - 25 * number))
        image.paste((255, 255, 0), (10 + number, 10, 30 + number, 40))
        image.save(directory / f"p{number}.png")


def folder(root, queries, **more):
    return {
        "benchmark": "folder", "root": str(root), "queries": str(queries),
        "exclude_reference": True, "lambda": 0.5,
        "stack": "mini", "toy_models": True, **more,
    }  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    pictures(tmp_path / "photos")
    csv = tmp_path / "queries.csv"
    csv.write_text(
        "reference,caption,targets\n"
        'p0.png,"is ""redder"", and\nlarger for $5",p9.png\np1.png,has a café → at night,p8.png|p7.png\n'
        "p0.png,is blue,p2.png\np3.png,two squares,p4.png\n"
    )
    return folder(tmp_path / "photos", csv)


def digests(directory):
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and "shards" not in path.parts
    }


def test_same_bytes_from_scratch_with_any_shard_count(tmp_path, models, photos):
    runs = []
    for shards in (1, 3):
        directory = make_workspace(tmp_path / f"run{shards}", models)
        snakemake(directory, "results/mine_metrics.json", config={"datasets": {"mine": photos}, "shards": shards})
        runs.append(digests(directory / "results"))
        again = snakemake(
            directory, "results/mine_metrics.json", config={"datasets": {"mine": photos}, "shards": shards}
        )
        assert "Nothing to be done" in again.stdout + again.stderr
    assert runs[0] == runs[1]
    result = read_json(tmp_path / "run1/results/mine_metrics.json")
    assert [entry["variant"] for entry in result["entries"]] == ["base", "pi", "rp", "rp_bm", "no_proxy", "other_proxy"]
    assert result["queries"] == 4 and result["failures"]["queries"] == 0
    captions = read_jsonl(tmp_path / "run1/results/mine/val/source_captions.jsonl")
    assert captions[0]["captions"] == captions[2]["captions"]  # one reference, captioned once
    assert len(read_jsonl(tmp_path / "run1/results/mine/val/shards/captions/0.jsonl")) == 3


def test_every_figure_is_made_and_verified(workspace, photos):
    """One command draws everything; its records verify; a changed setting is named."""
    config = {"datasets": {"mine": photos}, "run": ["mine"], "sensitivity": {"resamples": 50}}
    snakemake(workspace, "figures", config=config)
    made = {path.relative_to(workspace / "results").as_posix() for path in (workspace / "results").rglob("*.*")}
    sweeps = {f"figures/{name}.svg" for name, card in FIGURES.items() if card.of in ("sweeps", "results", "run")}
    shown = {f"figures/mine/{name}.png" for name in cards.names("queries")}
    assert (
        sweeps | shown | {"tables/table1.tex", "tables/table3.csv", "browser/mine/index.html", "figures/mine.svg"}
        <= made
    )
    # Toy models were run on these pictures, and every output says so.
    mark = "TOY MODELS (stack mini) on mine: these numbers mean nothing"
    for name in ("mine_metrics.json", "mine/val/mini/ldre/rp_bm.metrics.json", "mine/val/mini/ldre/sensitivity.json"):
        assert mark in (workspace / "results" / name).read_text(), name
    for name in sorted(made):
        if name.startswith(("figures", "tables/table1", "tables/table3")):  # table 2 is FashionIQ's
            assert mark.encode() in (workspace / "results" / name).read_bytes(), name
    assert mark in (workspace / "results/browser/mine/index.html").read_text()
    audit = [sys.executable, "-m", "ipcir_steps", "audit", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "IPCIR_PROVENANCE": "provenance"}
    done = subprocess.run([*audit, "--all"], cwd=workspace, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[:3000] + done.stderr
    (workspace / "mine.yaml").write_text(yaml.safe_dump({**SMALL, **config, "fusion": {"scale": "query"}}))
    figure = "results/figures/mine/fig4.svg"
    done = subprocess.run([*audit, figure], cwd=workspace, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "fusion.scale was dataset, is now query" in done.stdout


def test_a_baseline_of_ones_own_is_one_file_and_one_line(workspace, photos):
    (workspace / "toy.py").write_text(
        '"""The reference image, turned around."""\n\n\n'
        "def text_features(inputs, settings):\n"
        '    values, missing = inputs.features("references")\n'
        "    return settings.sign * values, missing\n"
    )
    target = "results/mine/val/mini/{}/text.safetensors"
    ready = target.format("toy").replace("mine/val/mini", "{dataset}/{split}/{backbone}")
    config = {
        "datasets": {"mine": photos},
        "custom_baselines": {"toy": {"function": "toy:text_features", "settings": {"sign": -1}}, "ready": ready},
        "baselines": ["image_only", "toy", "ready"],
    }
    targets = [target.format(name) for name in config["baselines"]]
    metrics = "results/mine/val/mini/toy/rp_bm.metrics.json"
    snakemake(workspace, *targets, metrics, config=config)
    image, toy, again = (load_features(workspace / path) for path in targets)
    assert (toy.values != 0).any() and toy.names == image.names
    np.testing.assert_allclose(toy.values / np.linalg.norm(toy.values, axis=-1)[:, None], -image.values, atol=1e-6)
    assert (again.values == toy.values).all()
    assert len(read_json(workspace / metrics)["queries"]) == 4
    with open(workspace / "toy.py", "a") as file:
        file.write("# changed\n")
    plan = snakemake(workspace, *targets, "--dry-run", config=config).stdout
    assert "baseline=toy" in plan and "baseline=image_only" not in plan


def test_broken_files_are_skipped_counted_and_fall_back_to_text(workspace, photos):
    root = Path(photos["root"])
    (root / "p1.png").write_bytes((root / "p1.png").read_bytes()[:60])  # the reference of query 2
    (root / "zero.png").write_bytes(b"")
    (root / "notes.txt").write_text("not an image")
    PIL.Image.new("CMYK", (20, 20)).save(root / "cmyk.jpg")
    PIL.Image.new("I;16", (20, 20), 40000).save(root / "deep.png")
    mine = photos | {"missing_images": "skip"}
    snakemake(workspace, "results/mine_metrics.json", config={"datasets": {"mine": mine}})
    result = read_json(workspace / "results/mine_metrics.json")
    assert result["failures"] == {"queries": 1, "by_step": {"datasets": 1}}
    coverage = read_json(workspace / "results/mine/val/coverage.json")
    assert coverage["gallery"] == {"annotated": 13, "readable": 11}
    assert {entry["name"] for entry in coverage["unreadable"]} == {"p1.png", "zero.png"}


def test_one_broken_image_stops_with_one_message_and_keeps_finished_work(workspace, photos):
    config = {"datasets": {"mine": photos}}
    snakemake(workspace, "results/mine/val/queries.jsonl", config=config)
    before = digests(workspace / "results")
    (Path(photos["root"]) / "q.jpg").write_bytes(b"\xff\xd8 corrupt")
    bad = {"datasets": {"bad": photos}}
    done = snakemake(workspace, "results/bad/val/queries.jsonl", config=bad, check=False)
    assert done.returncode != 0 and "q.jpg: the image cannot be read" in done.stdout + done.stderr
    assert digests(workspace / "results") == before


def test_no_step_reads_the_renderers_truth(workspace):
    """The mini world's scene files are deleted before the pipeline runs: everything is made from pictures and words."""
    world = workspace / "resources/mini/world"
    size = ["--queries", "4", "--gallery", "30", "--datasets", "circo"]
    ipcir("mini", "world", "--seed", "3", *size, "--output", world)
    shutil.rmtree(world / "scenes")
    assert {path.name for path in world.iterdir()} == {"mini_circo"}
    snakemake(workspace, "results/mini_circo_metrics.json")
    result = read_json(workspace / "results/mini_circo_metrics.json")
    assert (result["queries"], result["failures"]["queries"]) == (4, 0)


def test_a_typo_stops_before_any_job(workspace):
    done = snakemake(workspace, "all", config={"sede": 3}, check=False)
    assert done.returncode != 0 and "unknown key 'sede' (value 3) (did you mean 'seed'?)" in done.stdout + done.stderr
    assert not (workspace / "results").exists()


def test_a_changed_model_is_refused(workspace, photos):
    config = {"datasets": {"mine": photos}}
    snakemake(workspace, "results/mine/val/target_captions.jsonl", config=config)
    manifest = workspace / "resources/manifests/mini/llm.json"
    weights = next((workspace / "resources/mini/models/qwen").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, (0, 0))  # older than the manifest: only its digest tells
    (workspace / "results/mine/val/target_captions.jsonl").unlink()
    done = snakemake(workspace, "results/mine/val/layouts.jsonl", config=config, check=False)
    assert done.returncode != 0 and manifest.exists()
    assert "model.safetensors has changed since it was recorded" in done.stdout + done.stderr


@pytest.mark.parametrize("target", ["all", "figures", "results/cirr_metrics.json", "results/fashioniq_metrics.json"])
def test_every_target_has_a_plan(workspace, target):
    done = snakemake(workspace, target, "--dry-run", "--quiet", check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_photographs_end_to_end(workspace, published, tmp_path):
    """64 real photographs, 20 composed queries."""
    root = published / "photos"
    names = sorted(path.name for path in root.glob("*.JPEG"))
    assert len(names) == 64
    edits = ["at night", "in the snow", "is larger", "with two people", "as a drawing"]
    rows = [f"{names[3 * i]},{edits[i % 5]},{names[3 * i + 1]}" for i in range(20)]
    csv = tmp_path / "photo_queries.csv"
    csv.write_text("\n".join(["reference,caption,targets", *rows]) + "\n")
    snakemake(workspace, "results/photos_metrics.json", config={"datasets": {"photos": folder(root, csv)}})
    result = read_json(workspace / "results/photos_metrics.json")
    assert (result["queries"], result["failures"]["queries"]) == (20, 0)
    index = read_jsonl(next((workspace / "results/photos/val/proxies").glob("*/index.jsonl")))
    assert len(index) == 20 and all(len(record["images"]) == 2 for record in index)
