"""The same bytes under a real Slurm, with each GPU rule in the GPU partition on exactly one device."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.timeout(6 * 3600)
MODELS = {"captions", "reasoning", "layouts", "masks", "proxies", "embeddings", "baselines"}
# The test cluster has no accounting; short waits, because it answers at once.
OPTIONS = ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5"]


@pytest.fixture(scope="module")
def slurm():
    """Skips unless a cluster with the partitions cpu and gpu answers."""
    if shutil.which("sinfo") is None:
        pytest.skip("Slurm is not installed")
    pytest.importorskip("snakemake_executor_plugin_slurm")
    try:
        done = subprocess.run(["sinfo", "-h", "-o", "%R %t"], capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        pytest.skip("Slurm does not answer")
    up = {
        line.split()[0] for line in done.stdout.splitlines() if line.split()[1].rstrip("*") in ("idle", "mix", "alloc")
    }
    if not {"cpu", "gpu"} <= up:
        pytest.skip(f"no Slurm with partitions cpu and gpu here ({done.stdout.strip() or done.stderr.strip()})")


def run(workspace, profile, *arguments, **more):
    return workspace.snakemake("--workflow-profile", f"profiles/{profile}", *OPTIONS, *arguments, **more)


@pytest.mark.parametrize("profile", ["slurm", "slurm-gres"])
def test_same_bytes_and_one_device_per_job(slurm, make_workspace, undisturbed, tmp_path, profile):
    workspace = make_workspace(tmp_path / "work", shards=3 if profile == "slurm" else 1)
    run(workspace, profile)
    assert workspace.results() == undisturbed.results()
    jobs = [entry for entry in workspace.seen() if entry["room"] != "devices"]
    assert {entry["room"] for entry in jobs} > MODELS
    for entry in jobs:
        if entry["room"] in MODELS:
            assert entry["partition"] == "gpu" and entry["devices"] in ("0", "1"), entry
        else:
            assert entry["partition"] == "cpu" and not entry["devices"], entry
    again = run(workspace, profile)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_profiles_differ_only_in_how_devices_are_asked_for():
    root = Path(__file__).parents[2] / "profiles"
    plain, gres = (yaml.safe_load((root / f"{name}/config.yaml").read_text()) for name in ("slurm", "slurm-gres"))
    asked, other = plain.pop("set-resources"), gres.pop("set-resources")
    assert plain == gres and asked.keys() == other.keys()
    assert all(value == {"slurm_partition": "gpu"} for value in asked.values())
    assert all(value == {"slurm_partition": "gpu", "gres": "gpu:1", "gpu": 0} for value in other.values())
