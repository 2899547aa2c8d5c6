"""A process that ends with the one that started it, however that one ends: also killed, also with all its children.

``python -m ipcir_steps.core.processes PARENT COMMAND…`` is the keeper between the two. It adopts whatever the command
starts, and when the command or the parent has ended it ends all of it: SIGTERM, then SIGKILL.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

GRACE = 10  # seconds between SIGTERM and SIGKILL
_PAUSE = 0.1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class Owned:
    """``command`` as a child of this process. log: where what it prints is written."""

    def __init__(self, command: list[str], environment: dict[str, str], log: BinaryIO):
        keeper = [sys.executable, "-m", __name__, str(os.getpid()), *command]
        root = str(Path(__file__).parents[2])
        # The keeper finds this package wherever the step was started; the command is given its own PYTHONPATH.
        known = {"IPCIR_KEPT_PYTHONPATH": environment.get("PYTHONPATH", ""), "PYTHONPATH": root}
        self._keeper = subprocess.Popen(
            keeper, env={**environment, **known}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    @property
    def pid(self) -> int:
        """The keeper's."""
        return self._keeper.pid

    def ended(self) -> int | None:
        """The exit status, None while it runs."""
        return self._keeper.poll()

    def stop(self) -> None:
        """End it and everything that it started; returns when all of it is gone."""
        if self._keeper.poll() is None:
            self._keeper.terminate()
        self._keeper.wait()


def keep(parent: int, command: list[str]) -> int:
    """Run ``command`` until it or ``parent`` ends, then end what is left of it; return its exit status."""
    _control(_PR_SET_CHILD_SUBREAPER, 1)
    # The parent's end is seen by asking: the kernel's own signal comes already when the thread that started this ends.
    wanted = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: wanted.append(True))
    environment = dict(os.environ)
    environment["PYTHONPATH"] = environment.pop("IPCIR_KEPT_PYTHONPATH", "")
    try:
        child = subprocess.Popen(
            command, env=environment, preexec_fn=lambda: _control(_PR_SET_PDEATHSIG, signal.SIGKILL)
        )
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    while child.poll() is None and not wanted and os.getppid() == parent:
        time.sleep(_PAUSE)
    _end_all()
    return child.wait()


def _end_all() -> None:
    """End every descendant, those first that can end their own children."""
    deadline = time.monotonic() + GRACE
    number = signal.SIGTERM
    while left := descendants(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while descendants(os.getpid()) and time.monotonic() < deadline:
            _reap()
            time.sleep(_PAUSE)
        _reap()
        number = signal.SIGKILL


def _reap() -> None:
    """Collect children that have ended, adopted ones included."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def descendants(pid: int) -> list[int]:
    """Process ids of all living children of ``pid`` and theirs, from Linux's /proc; elsewhere none are found."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


if __name__ == "__main__":
    sys.exit(keep(int(sys.argv[1]), sys.argv[2:]))
