"""What the first user meets: a fresh copy of the workflow, real annotations, any images, nothing fetched yet."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fresh(published, tmp_path_factory):
    """CIRR's validation split with one picture in place of each of its 2,297."""
    directory = tmp_path_factory.mktemp("fresh")
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, directory)
    for name in ("rules", "envs", "profiles", "report"):
        shutil.copytree(ROOT / name, directory / name)
    root = directory / "data/CIRR"
    shutil.copytree(published / "CIRR", root)
    picture = directory / "any.png"
    PIL.Image.new("RGB", (32, 24), "red").save(picture)
    for path in json.loads((root / "cirr/image_splits/split.rc2.val.json").read_text()).values():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(picture, root / path)
    return directory


def snakemake(directory, *words):
    command = [sys.executable, "-m", "snakemake", "--cores", "8", "results/cirr_metrics.json", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_headline_command_plans_the_published_stack_and_names_everything_that_is_missing(fresh):
    """Issue 18, cases 1 and 3: no toy models, no bare exception, one message, and nothing has started."""
    done = snakemake(fresh)
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Exception" not in said and not (fresh / "results").exists()
    [count] = re.findall(r"(\d+) things are missing for this run", said)
    assert f"  {count}. " in said and f"  {int(count) + 1}. " not in said
    for part in (
        "MIGC_SD14.ckpt (MIGC, 229 MB)", "set stacks.published.models.migc.source", "elite_global_mapper.pt",
        "elite_local_mapper.pt", "coco_box_statistics.json", "59.0 GB of 7 models are to be downloaded",
        "Salesforce/blip2-opt-6.7b-coco",
    ):  # fmt: skip
        assert part in said, part
    assert "dataset cirr" not in said


@pytest.mark.slow
def test_what_it_would_run_is_the_published_stack(fresh):
    done = snakemake(fresh, "--dry-run")
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout + done.stderr
    assert "resources/manifests/published/captioner.json" in said and "resources/mini" not in said
    assert "things are missing for this run" in said


@pytest.mark.slow
def test_toy_models_need_a_word(fresh):
    done = snakemake(fresh, "--config", "datasets={cirr: {stack: mini}}")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "stack 'mini' has toy models" in said and "toy_models: true" in said
    done = snakemake(fresh, "--config", "datasets={cirr: {stack: mini, toy_models: true}}")
    assert "datasets.cirr.toy_models" in done.stderr and "use --configfile" in done.stderr  # there it is a text
    (fresh / "toys.yaml").write_text("datasets: {cirr: {stack: mini, toy_models: true}}")
    done = snakemake(fresh, "--dry-run", "--configfile", "toys.yaml")
    assert done.returncode == 0 and "resources/manifests/mini/captioner.json" in done.stdout + done.stderr
