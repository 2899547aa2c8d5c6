"""Leases of devices: exclusive, released however a job ends, and out of the way where a scheduler assigns devices."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.runtime import leases as devices

# A client: leases one of four devices again and again, each time in a process of its own, and kills some of them.
CLIENT = """
import json, os, pathlib, random, signal, sys, time
from ipcir_steps.runtime.leases import lease

directory, count, number = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
dice, leases = random.Random(number), []
for turn in range(count):
    reading, writing = os.pipe()
    pause, killed = dice.uniform(0, 0.004), dice.random() < 0.125
    child = os.fork()
    if not child:
        [device] = lease(["g0", "g1", "g2", "g3"], 1, directory)
        start = time.monotonic_ns()
        os.write(writing, f"{device} {start}".encode())
        time.sleep(60 if killed else pause)
        os.write(writing, f" {time.monotonic_ns()}".encode())
        os._exit(0)
    os.close(writing)
    words = os.read(reading, 100).split()
    if killed:
        time.sleep(pause)
        words = [*words[:2], time.monotonic_ns()]
        os.kill(child, signal.SIGKILL)
    elif len(words) == 2:
        words += os.read(reading, 100).split()
    os.close(reading)
    os.waitpid(child, 0)
    leases.append([words[0].decode(), int(words[1]), int(words[2]), killed])
print(json.dumps(leases))
"""


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No scheduler, no GPU, and lock files of this test's own."""
    for name in (*devices.SCHEDULERS, devices.VISIBLE, devices.LISTED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(devices.LOCKS, str(tmp_path / "locks"))
    return tmp_path / "locks"


def show(*command, count=1, code='import os; print(os.environ.get("CUDA_VISIBLE_DEVICES"))', **environment):
    """What a leased command sees."""
    command = [sys.executable, "-m", "ipcir_steps", "devices", "--count", str(count), "--", sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_sixteen_clients_a_thousand_leases_four_devices(alone):
    directory = devices.lock_directory()
    shares = [1000 // 16 + (number < 1000 % 16) for number in range(16)]
    clients = [
        subprocess.Popen([sys.executable, "-c", CLIENT, directory, str(share), str(number)], stdout=subprocess.PIPE)
        for number, share in enumerate(shares)
    ]
    leases = [lease for client in clients for lease in json.loads(client.communicate(timeout=300)[0])]
    assert len(leases) == 1000
    killed = sum(lease[3] for lease in leases)
    assert killed > 60
    for device in ("g0", "g1", "g2", "g3"):
        times = sorted((start, end) for name, start, end, _ in leases if name == device)
        assert len(times) > 20
        for (_, end), (start, _) in itertools.pairwise(times):
            assert end <= start, f"two jobs on {device}"
    assert devices.table(["g0", "g1", "g2", "g3"], directory).count("free") == 4


def test_a_killed_command_frees_its_device(alone):
    environment = os.environ | {devices.LISTED: "g0"}
    command = [sys.executable, "-m", "ipcir_steps", "devices", "--", "sleep", "600"]
    first = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 30
    while "leased by process" not in devices.table(["g0"], devices.lock_directory()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert f"leased by process {first.pid} sleep 600" in devices.table(["g0"], devices.lock_directory())
    second = subprocess.Popen([*command[:5], "true"], env=environment)
    time.sleep(0.5)
    assert second.poll() is None  # it waits
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait(timeout=30) == 0
    assert "free" in devices.table(["g0"], devices.lock_directory())


def test_a_command_gets_as_many_devices_as_it_asks_for(alone):
    listed = {devices.LISTED: "g0,g1,g2"}
    assert show(**listed) == "g0"
    assert show(count=2, **listed) == "g0,g1"
    assert show(count=0, **listed) == "None"
    with pytest.raises(InputError, match="4 devices are wanted, there are 3"):
        devices.lease(["g0", "g1", "g2"], 4, devices.lock_directory())


def test_a_machine_without_gpu_runs_the_command_as_it_is(alone, monkeypatch):
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    assert devices.devices({}) == []
    assert devices.devices({devices.VISIBLE: ""}) == []
    assert devices.devices({devices.VISIBLE: "0,-1,1"}) == ["0"]
    assert show(**{devices.LISTED: ""}) == "None"
    assert not alone.exists()


def test_what_a_scheduler_assigned_is_left_alone(alone):
    assert show(CUDA_VISIBLE_DEVICES="1", SLURM_JOB_ID="7") == "1"
    assert show(CUDA_VISIBLE_DEVICES="0,3", SLURM_JOB_ID="7", count=2) == "0,3"
    assert not alone.exists()
    # A workflow that runs inside one allocation of several devices divides them among its jobs.
    assert show(CUDA_VISIBLE_DEVICES="0,3", SLURM_JOB_ID="7") == "0"
    assert (alone / "0.lock").exists()


def test_devices_are_known_by_their_uuid(alone, monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, GPU-aa'\necho '1, GPU-bb'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert devices.devices({}) == ["GPU-aa", "GPU-bb"]
    assert devices.devices({devices.VISIBLE: "1"}) == ["GPU-bb"]
    assert devices.devices({devices.VISIBLE: "GPU-aa"}) == ["GPU-aa"]


def test_lock_files_serve_all_users_and_follow_no_link(alone, tmp_path):
    directory = devices.lock_directory()
    assert directory.stat().st_mode & 0o7777 == 0o1777
    [handle] = devices.lease(["g0"], 1, directory).values()
    assert os.fstat(handle).st_mode & 0o777 == 0o666
    os.close(handle)
    (directory / "g1.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="g1.lock: cannot be opened"):
        devices.lease(["g1"], 1, directory)
    assert not (tmp_path / "elsewhere").exists()
