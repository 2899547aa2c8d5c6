"""The whole workflow on folders of pictures: real model classes, tiny weights, one command."""

import hashlib
import os
import re
import shutil

import numpy as np
import PIL.Image
import pytest

from ipcir_steps.core.features import load_features
from ipcir_steps.core.files import read_json, read_jsonl
from ipcir_steps.core.paths import ENCODED
from ipcir_steps.evaluate.reporting.figures import FIGURES, cards
from ipcir_steps.steps import SHARDED
from ipcir_steps.variants import VARIANTS

# Set apart from the photos' results by what they are for.
DRAWN_ONLY = re.compile(r"(figures|tables|browser)/|.*/sensitivity\.json$")


def digests(directory):
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and "shards" not in path.parts
    }


def loads(workspace) -> dict[str, list[list[str]]]:
    """{rule: names of the models that each of its jobs loaded}, as their logs tell."""
    told = re.compile(r"INFO models: loaded the (.*) in ")
    found: dict[str, list[list[str]]] = {}
    for path in sorted((workspace / "logs/mine/val").rglob("*.log")):
        by_device = path.stem.isdigit()
        if models := told.findall(path.read_text()):
            rule = path.parent.name if by_device else f"{path.stem} features"
            found.setdefault(rule, []).append(sorted(models))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_same_bytes_from_scratch_with_any_division(drawn, tmp_path, make_workspace, start_ipcir, photos, devices):
    """Issue 18, case 6: with 8 shards each model is loaded once per device and step.

    One shard beside everything else, and eight by themselves, in processes whose hashes have another seed.
    """
    workspace = make_workspace(tmp_path / "work", start_ipcir())
    config = {"datasets": {"mine": photos}, "shards": 8, "devices": devices}
    workspace.snakemake("results/mine_metrics.json", config=config)
    one = {name: digest for name, digest in digests(drawn / "results").items() if not DRAWN_ONLY.match(name)}
    assert digests(workspace / "results") == one and "mine_metrics.json" in one
    names = {f"{device}-{shard}.jsonl" for device in range(devices) for shard in range(8)}
    for step in set(SHARDED) - {"verify", "proxy_captions"}:  # off by default
        kept = {path.name for path in (workspace / f"results/mine/val/shards/{step}").glob("[!.]*")}
        assert kept == names, step
    assert loads(workspace) == {
        "captions": [["BLIP-2 model"]] * devices,
        "reasoning": [["language model"]] * devices,
        "layouts": [["language model"]] * devices,
        "masks": [["Grounding DINO model", "SAM model"]] * devices,
        "proxies": [["CLIP vision model", "ELITE mappers", "MIGC blocks", "StableDiffusionPipeline"]] * devices,
        **{f"{name} features": [["CLIP model"]] for name in ENCODED if name != "proxy_captions"},
    }
    done = workspace.run("ipcir", "audit", "--all")
    assert done.returncode == 0, done.stdout[:3000] + done.stderr
    again = workspace.snakemake("results/mine_metrics.json", config=config)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_one_command_leaves_nothing_to_be_done(finished_workspace, drawn_config):
    again = finished_workspace.snakemake("figures", "results/mine_metrics.json", config=drawn_config)
    assert "Nothing to be done" in again.stdout + again.stderr
    result = read_json(finished_workspace / "results/mine_metrics.json")
    assert [entry["variant"] for entry in result["entries"]] == list(VARIANTS)
    assert result["queries"] == 4 and result["failures"]["queries"] == 0
    captions = read_jsonl(finished_workspace / "results/mine/val/source_captions.jsonl")
    assert captions[0]["captions"] == captions[2]["captions"]  # one reference, captioned once
    assert len(read_jsonl(finished_workspace / "results/mine/val/shards/captions/0-0.jsonl")) == 3


def test_every_figure_is_made_and_verified(finished_workspace, drawn_config):
    """One command draws everything; its records verify; a changed setting is named."""
    results = finished_workspace / "results"
    made = {path.relative_to(results).as_posix() for path in results.rglob("*.*")}
    sweeps = {f"figures/{name}.svg" for name, card in FIGURES.items() if card.of in ("sweeps", "results", "run")}
    shown = {f"figures/mine/{name}.png" for name in cards.names("queries")}
    assert (
        sweeps | shown | {"tables/table1.tex", "tables/table3.csv", "browser/mine/index.html", "figures/mine.svg"}
        <= made
    )
    # Toy models were run on these pictures, and every output says so.
    mark = "TOY MODELS (stack mini) on mine: these numbers mean nothing"
    for name in ("mine_metrics.json", "mine/val/mini/ldre/rp_bm.metrics.json", "mine/val/mini/ldre/sensitivity.json"):
        assert mark in (results / name).read_text(), name
    for name in sorted(made):
        if name.startswith(("figures", "tables/table1", "tables/table3")):  # table 2 is FashionIQ's
            assert mark.encode() in (results / name).read_bytes(), name
    assert mark in (results / "browser/mine/index.html").read_text()
    done = finished_workspace.run("ipcir", "audit", "--json", "--all")
    assert done.returncode == 0, done.stdout[:3000] + done.stderr
    finished_workspace.configure({**drawn_config, "fusion": {"scale": "query"}})
    done = finished_workspace.run("ipcir", "audit", "--json", "results/figures/mine/fig4.svg")
    assert done.returncode == 1 and "fusion.scale was dataset, is now query" in done.stdout


@pytest.mark.slow
def test_a_baseline_of_ones_own_is_one_file_and_one_line(finished_workspace, drawn_config):
    workspace = finished_workspace
    (workspace / "toy.py").write_text(
        '"""The reference image, turned around."""\n\n\n'
        "def text_features(inputs, settings):\n"
        '    values, missing = inputs.features("references")\n'
        "    return settings.sign * values, missing\n"
    )
    target = "results/mine/val/mini/{}/text.safetensors"
    ready = target.format("toy").replace("mine/val/mini", "{dataset}/{split}/{backbone}")
    config = {
        **drawn_config,
        "custom_baselines": {"toy": {"function": "toy:text_features", "settings": {"sign": -1}}, "ready": ready},
        "baselines": ["image_only", "toy", "ready"],
    }
    targets = [target.format(name) for name in config["baselines"]]
    metrics = "results/mine/val/mini/toy/rp_bm.metrics.json"
    workspace.snakemake(*targets, metrics, config=config)
    image, toy, again = (load_features(workspace / path) for path in targets)
    assert (toy.values != 0).any() and toy.names == image.names
    np.testing.assert_allclose(toy.values / np.linalg.norm(toy.values, axis=-1)[:, None], -image.values, atol=1e-6)
    assert (again.values == toy.values).all()
    assert len(read_json(workspace / metrics)["queries"]) == 4
    with open(workspace / "toy.py", "a") as file:
        file.write("# changed\n")
    plan = workspace.snakemake(*targets, "--dry-run", config=config).stdout
    assert "baseline=toy" in plan and "baseline=image_only" not in plan


@pytest.mark.slow
def test_broken_files_are_skipped_counted_and_fall_back_to_text(workspace, photos):
    root = workspace / "photos"
    (root / "p1.png").write_bytes((root / "p1.png").read_bytes()[:60])  # the reference of query 2
    (root / "zero.png").write_bytes(b"")
    (root / "notes.txt").write_text("not an image")
    PIL.Image.new("CMYK", (20, 20)).save(root / "cmyk.jpg")
    PIL.Image.new("I;16", (20, 20), 40000).save(root / "deep.png")
    mine = photos | {"missing_images": "skip"}
    workspace.snakemake("results/mine_metrics.json", config={"datasets": {"mine": mine}})
    result = read_json(workspace / "results/mine_metrics.json")
    assert result["failures"] == {"queries": 1, "by_step": {"datasets": 1}}
    coverage = read_json(workspace / "results/mine/val/coverage.json")
    assert coverage["gallery"] == {"annotated": 13, "readable": 11}
    assert {entry["name"] for entry in coverage["unreadable"]} == {"p1.png", "zero.png"}


def test_one_broken_image_stops_with_one_message_and_keeps_finished_work(finished_workspace, photos):
    workspace = finished_workspace
    before = digests(workspace / "results")
    (workspace / "photos/q.jpg").write_bytes(b"\xff\xd8 corrupt")
    bad = {"datasets": {"bad": photos}}
    done = workspace.snakemake("results/bad/val/queries.jsonl", config=bad, check=False)
    assert done.returncode != 0 and "q.jpg: the image cannot be read" in done.stdout + done.stderr
    assert digests(workspace / "results") == before


@pytest.mark.slow
def test_no_step_reads_the_renderers_truth(workspace):
    """The mini world's scene files are deleted before the pipeline runs: everything is made from pictures and words."""
    world = workspace / "resources/mini/world"
    size = ["--queries", "4", "--gallery", "30", "--datasets", "circo"]
    done = workspace.run("ipcir", "mini", "world", "--seed", "3", *size, "--output", world)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(world / "scenes")
    assert {path.name for path in world.iterdir()} == {"mini_circo"}
    workspace.snakemake("results/mini_circo_metrics.json")
    result = read_json(workspace / "results/mini_circo_metrics.json")
    assert (result["queries"], result["failures"]["queries"]) == (4, 0)


def test_a_typo_stops_before_any_job(workspace):
    done = workspace.snakemake("all", config={"sede": 3}, check=False)
    assert done.returncode != 0 and "unknown key 'sede' (value 3) (did you mean 'seed'?)" in done.stdout + done.stderr
    assert not (workspace / "results").exists()


@pytest.mark.slow
def test_a_changed_model_is_refused(finished_workspace, drawn_config):
    workspace = finished_workspace
    manifest = workspace / "resources/manifests/mini/llm.json"
    weights = next((workspace / "resources/mini/models/qwen").glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, (0, 0))  # older than the manifest: only its digest tells
    for name in ("target_captions.jsonl", "layouts.jsonl", "shards/layouts/0-0.jsonl"):
        (workspace / f"results/mine/val/{name}").unlink()
    done = workspace.snakemake("results/mine/val/layouts.jsonl", config=drawn_config, check=False)
    assert done.returncode != 0 and manifest.exists()
    assert "model.safetensors has changed since it was recorded" in done.stdout + done.stderr


@pytest.mark.parametrize("target", ["all", "figures", "results/cirr_metrics.json", "results/fashioniq_metrics.json"])
def test_every_target_has_a_plan(workspace, target):
    done = workspace.snakemake(target, "--dry-run", "--quiet", check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("generator, planned", [("text_to_image", True), ("image_editing", False)])
def test_layouts_and_masks_are_planned_where_the_generator_reads_them(workspace, drawn_config, generator, planned):
    config = {**drawn_config, "stacks": {"mini": {"proxies": {"generator": generator}}}}
    done = workspace.snakemake("--dry-run", "--quiet", "rules", config=config)
    counts = {words[0]: words[1] for line in done.stdout.splitlines() if len(words := line.split()) == 2}
    assert counts["proxies"].isdigit() and ("layouts" in counts) == planned and "masks" not in counts


@pytest.mark.slow
def test_photographs_end_to_end(workspace, photos, published):
    """64 real photographs, 20 composed queries."""
    root = published / "photos"
    names = sorted(path.name for path in root.glob("*.JPEG"))
    assert len(names) == 64
    edits = ["at night", "in the snow", "is larger", "with two people", "as a drawing"]
    rows = [f"{names[3 * i]},{edits[i % 5]},{names[3 * i + 1]}" for i in range(20)]
    (workspace / "photo_queries.csv").write_text("\n".join(["reference,caption,targets", *rows]) + "\n")
    dataset = photos | {"root": str(root), "queries": "photo_queries.csv"}
    workspace.snakemake("results/photos_metrics.json", config={"datasets": {"photos": dataset}})
    result = read_json(workspace / "results/photos_metrics.json")
    assert (result["queries"], result["failures"]["queries"]) == (20, 0)
    index = read_jsonl(next((workspace / "results/photos/val/proxies").glob("*/index.jsonl")))
    assert len(index) == 20 and all(len(record["images"]) == 2 for record in index)
