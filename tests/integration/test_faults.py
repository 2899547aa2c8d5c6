"""Killed, out of disk, out of memory, damaged: the run goes on to the same bytes, or stops and says what to do."""

import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(6 * 3600)
KILLS = int(os.environ.get("IPCIR_KILLS", 50))


def processes(directory: Path) -> list[int]:
    """Every process that works in a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and Path(os.readlink(entry / "cwd")).is_relative_to(directory):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill(pids) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc")
def test_killed_at_random_moments_it_ends_with_the_same_bytes(make_workspace, undisturbed, tmp_path):
    """kill -9 of all processes, of the workflow alone (its steps live on), or of one step; then the same command."""
    workspace = make_workspace(tmp_path / "work", devices=2, shards=2)
    dice, kills, finished, run = random.Random(2025), {"all": 0, "workflow": 0, "step": 0}, 0, None
    with open(tmp_path / "log", "w") as log:
        while sum(kills.values()) < KILLS:
            if run is not None and run.returncode == 0:
                # It got through: take away what the later steps made, so that there is something to kill again.
                finished += 1
                step = dice.choice(["captions", "reasoning", "layouts", "masks", "proxies"])
                shutil.rmtree(workspace.directory / f"results/photos/val/shards/{step}")
                shutil.rmtree(workspace.directory / "results/photos/val/mini", ignore_errors=True)
            if run is None or run.returncode is not None:
                command = workspace.command(cores=4)
                run = subprocess.Popen(
                    command, cwd=workspace.directory, env=workspace.environment, stdout=log, stderr=log
                )
            time.sleep(dice.uniform(0, undisturbed.seconds / 12))
            if run.poll() is not None:
                continue
            how = dice.choice(list(kills))
            steps = [pid for pid in processes(workspace.directory) if pid != run.pid]
            if how == "step" and not steps:
                continue
            kill([run.pid, *steps] if how == "all" else [run.pid] if how == "workflow" else steps[-1:])
            kills[how] += 1
            if how != "step":  # after the death of a step the workflow goes on with the other jobs
                run.wait()
        kill([run.pid])
        run.wait()
    done = workspace.snakemake(check=False)
    if done.returncode:  # a step of an earlier run may still have been writing
        done = workspace.snakemake()
    assert workspace.results() == undisturbed.results()
    assert sum(kills.values()) == KILLS
    report = workspace.ipcir("doctor")
    assert report.returncode == 0, report.stdout
    print(f"{kills} kills, {finished} runs got through between them")


def test_a_second_run_is_kept_out(make_workspace, tmp_path):
    workspace = make_workspace(tmp_path / "work")
    first = subprocess.Popen(
        workspace.command(), cwd=workspace.directory, env=workspace.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        lock = workspace.directory / ".snakemake/run.lock"
        deadline = time.monotonic() + 120
        while not (lock.exists() and lock.read_text()):
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.1)
        second = workspace.snakemake(check=False)
        told = second.stdout + second.stderr
        assert second.returncode != 0 and f"another run works in this directory (process {first.pid} on" in told
    finally:
        kill([first.pid, *processes(workspace.directory)])
        first.wait()


def encode(undisturbed, output: Path) -> list[str]:
    """The arguments of a short step that writes ``output``."""
    split = undisturbed.directory / "results/photos/val"
    words = ["embeddings", "images", "--images", split / "references.jsonl", "--root", "photos"]
    words += ["--queries", split / "queries.jsonl", "--model", "resources/manifests/mini/clip/mini.json"]
    return [str(word) for word in [*words, "--output", output]]


def test_a_full_disk_stops_with_a_remedy_and_goes_on_afterwards(undisturbed, tmp_path):
    """The file size limit stands for the disk; the write fails the same way (EFBIG for ENOSPC)."""
    output = tmp_path / "features.safetensors"

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))

    full = undisturbed.ipcir(*encode(undisturbed, output), preexec_fn=limit)
    assert full.returncode == 2 and not output.exists()
    assert "could not be written (File too large). Free disk space" in full.stderr
    assert undisturbed.ipcir(*encode(undisturbed, output)).returncode == 0
    assert os.listdir(tmp_path) == [output.name]
    expected = undisturbed.directory / "results/photos/val/mini/references.safetensors"
    assert output.read_bytes() == expected.read_bytes()


def test_a_really_full_disk(undisturbed, tmp_path):
    """A file system of one page in a user namespace; then it grows, and the same command goes on."""
    (tmp_path / "disk").mkdir()
    output = tmp_path / "disk/features.safetensors"
    step = shlex.join([sys.executable, "-m", "ipcir_steps", *encode(undisturbed, output)])
    script = (
        f"mount -t tmpfs -o size=4k none {tmp_path}/disk && echo mounted; {step}; echo first $?; ls -A {tmp_path}/disk;"
        f" mount -o remount,size=1m {tmp_path}/disk; {step}; echo second $?; cp {output} {tmp_path}/copy"
    )
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script],
        cwd=undisturbed.directory, env=undisturbed.environment, capture_output=True, text=True,
    )  # fmt: skip
    if "mounted" not in done.stdout:
        pytest.skip("a file system cannot be mounted in a user namespace here")
    assert "first 2" in done.stdout and "second 0" in done.stdout, done.stdout + done.stderr
    assert "could not be written (No space left on device). Free disk space" in done.stderr
    expected = undisturbed.directory / "results/photos/val/mini/references.safetensors"
    assert (tmp_path / "copy").read_bytes() == expected.read_bytes()


def test_out_of_memory_stops_with_a_remedy(undisturbed):
    """The limit on the address space stands for the machine's memory."""
    code = """
import resource, sys
import torch
from ipcir_steps import cli
from ipcir_steps.seek.embeddings import steps
def hungry(batch):
    return torch.zeros(1 << 44)
steps.load_encoder = lambda *a: type("E", (), {"identity": {}, "dims": 4, "texts": staticmethod(hungry)})()
sys.argv = ["ipcir", *sys.argv[1:]]
raise SystemExit(cli.main())
"""
    split = "results/photos/val"
    words = ["embeddings", "captions", "--captions", f"{split}/target_captions.jsonl", "--queries"]
    words += [
        f"{split}/queries.jsonl",
        "--model",
        "resources/manifests/mini/clip/mini.json",
        "--output",
        "oom.safetensors",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=undisturbed.directory, env=undisturbed.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and "more memory is needed than the machine has free" in done.stderr
    assert "embeddings.batch_size" in done.stderr


def test_damage_is_found_and_only_that_is_rebuilt(make_workspace, undisturbed, tmp_path):
    workspace = make_workspace(tmp_path / "work")
    for name in ("photos", "results", "resources", "provenance", ".snakemake"):
        shutil.copytree(undisturbed.directory / name, workspace.directory / name, dirs_exist_ok=True)
    split = workspace.directory / "results/photos/val"
    image = next(split.glob("proxies/*/*/0.png"))
    others = {path: path.stat().st_mtime_ns for path in split.glob("proxies/*/*/*.png") if path.parent != image.parent}
    image.write_bytes(image.read_bytes()[:-20])
    features = split / "mini/target_captions.safetensors"
    data = bytearray(features.read_bytes())
    data[-3] ^= 4
    features.write_bytes(data)
    report = workspace.ipcir("doctor")
    assert report.returncode == 1
    assert f"{image.relative_to(workspace.directory)}: is not the image that the index names" in report.stdout
    assert "target_captions.safetensors: is not the file that its step wrote" in report.stdout
    repair = report.stdout.splitlines()[-1].strip()
    assert "shards/proxies/" in repair and "photos_metrics.json" not in repair
    environment = workspace.environment
    done = subprocess.run(
        ["bash", "-c", repair], cwd=workspace.directory, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert workspace.results() == undisturbed.results()
    assert others == {path: path.stat().st_mtime_ns for path in others}
    assert workspace.ipcir("doctor").returncode == 0


def test_the_number_of_devices_changes_no_byte(make_workspace, undisturbed, tmp_path):
    """Eight, of which some find nothing to do; one and two: tests/workflow/test_workflow.py."""
    workspace = make_workspace(tmp_path / "work", devices=8)
    workspace.snakemake()
    assert workspace.results() == undisturbed.results()
