"""The same bytes under a real Slurm, with each GPU rule in the GPU partition on exactly one device."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(6 * 3600)
MODELS = {"captions", "reasoning", "layouts", "masks", "proxies", "embeddings", "baselines"}
GPU_STEP = "results/photos/val/mini/gallery.safetensors"
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


def same(workspace, undisturbed, file) -> bool:
    return (workspace.directory / file).read_bytes() == (undisturbed.directory / file).read_bytes()


def test_same_bytes_and_one_device_per_job(slurm, make_workspace, undisturbed, tmp_path):
    workspace = make_workspace(tmp_path / "work", devices=3)
    run(workspace, "slurm")
    assert workspace.results() == undisturbed.results()
    jobs = [entry for entry in workspace.seen() if entry["step"] != "devices"]
    assert {entry["step"] for entry in jobs} > MODELS
    for entry in jobs:
        if entry["step"] in MODELS:
            assert entry["partition"] == "gpu" and entry["devices"] in ("0", "1"), entry
        else:
            assert entry["partition"] == "cpu" and not entry["devices"], entry
    again = run(workspace, "slurm")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_devices_are_asked_for_by_gres_as_well(slurm, make_workspace, undisturbed, tmp_path):
    workspace = make_workspace(tmp_path / "work")
    run(workspace, "slurm-gres", target=GPU_STEP)
    assert same(workspace, undisturbed, GPU_STEP)
    [job] = [entry for entry in workspace.seen() if entry["step"] == "embeddings"]
    assert job["partition"] == "gpu" and job["devices"] in ("0", "1")


# The rules' own way to start a step, here with two GPUs, as for a chat model that one does not hold.
TWO = """
rule layouts:
    output: "started"
    resources: gpu=1
    shell:
        "{python} -m ipcir_steps devices --count {{resources.gpu}} --"
        " sh -c 'echo $CUDA_VISIBLE_DEVICES >> {{output}}'"
"""


@pytest.mark.parametrize(("name", "asked"), [("slurm", {"gpu": 2}), ("slurm-gres", {"gres": "gpu:2"})])
def test_a_job_with_two_devices_starts_its_step_once(slurm, tmp_path, name, asked):
    """Not once for each device (issues 316 and 459 of the plugin)."""
    (tmp_path / "Snakefile").write_text(TWO.format(python=sys.executable))
    profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
    profile["set-resources"] = {"layouts": {**profile["set-resources"]["layouts"], **asked}}
    del profile["groups"], profile["group-components"]
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/config.yaml").write_text(yaml.safe_dump(profile))
    command = [sys.executable, "-m", "snakemake", "started", "--workflow-profile", "profile", *OPTIONS]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "started").read_text().splitlines() == ["0,1"]


def setting(name) -> str:
    config = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=True).stdout
    return next(line.split("=")[1].strip() for line in config.splitlines() if line.split("=")[0].strip() == name)


def test_a_node_that_dies_is_survived(slurm, make_workspace, undisturbed, tmp_path):
    """slurmd of the GPU node is killed with the steps that it runs; the node comes back, the run ends as ever."""
    daemon = Path(setting("SlurmdPidFile").replace("%n", "gpu1"))
    if os.geteuid() or not daemon.is_file():
        pytest.skip("slurmd of node gpu1 cannot be stopped from here")
    workspace = make_workspace(tmp_path / "work")
    command = workspace.command("--workflow-profile", "profiles/slurm", *OPTIONS, target=GPU_STEP)
    with open(tmp_path / "log", "w") as log:
        run = subprocess.Popen(command, cwd=workspace.directory, env=workspace.environment, stdout=log, stderr=log)
        try:
            steps = []
            while not steps:
                assert run.poll() is None, (tmp_path / "log").read_text()[-3000:]
                time.sleep(0.2)
                steps = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if on_gpu(pid, workspace)]
            for pid in [int(daemon.read_text()), *steps]:
                os.kill(pid, signal.SIGKILL)
            # What the controller does by itself after SlurmdTimeout.
            subprocess.run(["scontrol", "update", "NodeName=gpu1", "State=DOWN", "Reason=test"], check=True)
            time.sleep(5)
        finally:
            subprocess.run(["slurmd", "-N", "gpu1"], check=True)
            time.sleep(2)
            # Refused where the controller has already taken the node back by itself (ReturnToService).
            subprocess.run(["scontrol", "update", "NodeName=gpu1", "State=RESUME"], capture_output=True)
        assert run.wait() == 0, (tmp_path / "log").read_text()[-5000:]
    assert same(workspace, undisturbed, GPU_STEP)


def on_gpu(pid: int, workspace) -> bool:
    """Whether a process is a step of this workspace in the GPU partition."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        here = Path(os.readlink(f"/proc/{pid}/cwd")) == workspace.directory
        step = b"ipcir_steps" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return here and step and b"SLURM_JOB_PARTITION=gpu" in environment


def test_profiles_differ_only_in_how_devices_are_asked_for():
    root = ROOT / "profiles"
    plain, gres = (yaml.safe_load((root / f"{name}/config.yaml").read_text()) for name in ("slurm", "slurm-gres"))
    asked, other = plain.pop("set-resources"), gres.pop("set-resources")
    assert plain == gres and asked.keys() == other.keys()
    assert all(value == {"slurm_partition": "gpu"} for value in asked.values())
    assert all(value == {"slurm_partition": "gpu", "gres": "gpu:1", "gpu": 0} for value in other.values())
