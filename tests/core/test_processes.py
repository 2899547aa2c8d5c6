"""A process that a step owns is gone when the step is, with everything that it started."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ipcir_steps.core import processes

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
# A server with a child of its own that ignores SIGTERM; both write down who they are.
SERVER = """
import os, pathlib, signal, subprocess, sys, time
place = pathlib.Path(sys.argv[1])
deaf = "import signal, sys, time, os, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
deaf += "pathlib.Path(sys.argv[1], 'child').write_text(str(os.getpid())); time.sleep(300)"
subprocess.Popen([sys.executable, "-c", deaf, str(place)])
(place / "server").write_text(str(os.getpid()))
time.sleep(300)
"""
STEP = """
import os, pathlib, sys, tempfile, time
from ipcir_steps.core import processes
processes.GRACE = 1
command = [sys.executable, "-c", sys.argv[1], sys.argv[2]]
owned = processes.Owned(command, dict(os.environ), tempfile.TemporaryFile())
if sys.argv[3] == "stop":
    while not owned.ended() and len(list(pathlib.Path(sys.argv[2]).iterdir())) < 2:
        time.sleep(0.05)
    owned.stop()
    print("stopped", flush=True)
time.sleep(300)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition, seconds=40):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, "stop"])
def test_nothing_is_left_however_the_step_ends(tmp_path, how):
    arguments = [sys.executable, "-c", STEP, SERVER, str(tmp_path), how if how == "stop" else "run"]
    step = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    files = [tmp_path / "server", tmp_path / "child"]
    until(lambda: all(file.exists() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    if how == "stop":
        assert step.stdout.readline() == b"stopped\n"
        assert not any(map(alive, pids))
        step.kill()
    else:
        assert all(map(alive, pids))
        step.send_signal(how)
    step.wait()
    until(lambda: not any(map(alive, pids)))


def test_it_outlives_the_thread_that_started_it():
    command = [sys.executable, "-c", "import time; time.sleep(300)"]
    with concurrent.futures.ThreadPoolExecutor(1) as pool, tempfile.TemporaryFile() as log:
        owned = pool.submit(processes.Owned, command, dict(os.environ), log).result()
        until(lambda: processes.descendants(owned.pid))
    time.sleep(1)
    assert owned.ended() is None
    owned.stop()


def test_a_command_that_is_not_there_ends_at_once(tmp_path):
    code = "import os, sys; from ipcir_steps.core.processes import Owned\n"
    code += "owned = Owned(['/nowhere/python'], dict(os.environ), sys.stderr.buffer); owned._keeper.wait()\n"
    code += "print(owned.ended())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "127\n" and "/nowhere/python: No such file or directory" in done.stderr
