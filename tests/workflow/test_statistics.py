"""Box statistics in the workflow: made by a rule, put in place by hand, left out, or told to be missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ipcir_steps.core import paths
from ipcir_steps.core.files import read_json, write_json

ROOT = Path(__file__).parents[2]
PROXIES = "results/mini_cirr/val/shards/proxies/0-0.jsonl"
COCO = {
    "images": [{"id": 1, "width": 100, "height": 50}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 40]}],
}


@pytest.fixture
def workspace(tmp_path):
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("rules", "envs", "profiles", "report"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ipcir").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ipcir_steps "$@"\n')
    (tmp_path / "bin/ipcir").chmod(0o755)
    return tmp_path


def snakemake(workspace, *words, statistics=paths.STATISTICS):
    config = {"stacks": {"mini": {"proxies": {"statistics": statistics}}}}
    (workspace / "mine.yaml").write_text(yaml.safe_dump(config))
    search = f"{workspace / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *words, "--configfile", "mine.yaml"]
    return subprocess.run(
        command,
        cwd=workspace,
        env=os.environ | {"PATH": search, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_they_are_made_from_the_annotations_where_these_are(workspace):
    write_json(workspace / paths.INSTANCES, COCO)
    planned = snakemake(workspace, "-n", PROXIES)
    assert planned.returncode == 0 and "rule statistics:" in planned.stdout + planned.stderr
    done = snakemake(workspace, paths.STATISTICS)
    assert done.returncode == 0, done.stderr
    assert read_json(workspace / paths.STATISTICS)["cat"]["length_mean"] == 0.2


@pytest.mark.slow
def test_a_file_put_in_place_by_hand_is_taken(workspace):
    write_json(workspace / paths.STATISTICS, {})
    planned = snakemake(workspace, "-n", PROXIES)
    assert planned.returncode == 0 and "rule statistics:" not in planned.stdout + planned.stderr


@pytest.mark.slow
def test_they_can_be_left_out(workspace):
    assert snakemake(workspace, "-n", PROXIES, statistics=None).returncode == 0


@pytest.mark.parametrize("path", [paths.STATISTICS, "mine/statistics.json"])
def test_what_is_missing_is_named_with_its_remedy(workspace, path):
    run = snakemake(workspace, PROXIES, statistics=path)
    said = run.stdout + run.stderr
    assert run.returncode != 0 and "MissingInputException" not in said
    assert not (workspace / "resources").exists(), "nothing has started"
    assert f"stack mini: {path}, COCO's box statistics" in said and "https://cocodataset.org" in said
    assert "stacks.mini.proxies.statistics: null" in said
