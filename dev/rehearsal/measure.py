"""Run a command and watch it: seconds, CPU seconds, and the most memory that it held."""

import dataclasses
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

PAUSE = 0.01  # seconds between two looks


@dataclasses.dataclass(frozen=True)
class Measured:
    """seconds: wall clock; cpu: user and system; resident: bytes at the peak, mapped weights included, as schedulers
    count them; anonymous: bytes at the peak without mapped files, which the kernel takes back when memory is short."""

    seconds: float
    cpu: float
    resident: int
    anonymous: int


def run(command: Sequence[str], log: Path, directory: Path, environment: dict[str, str]) -> Measured:
    """``directory``: where it runs. Raises RuntimeError with the end of the log when the command fails."""
    start, resident, anonymous = time.monotonic(), 0, 0
    with open(log, "ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=directory, env=environment)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            # Not from rusage: what that tells of a small child is the size of its parent.
            resident = max(resident, memory(process.pid, "VmHWM"))
            anonymous = max(anonymous, memory(process.pid, "RssAnon"))
            time.sleep(PAUSE)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:5])} … failed:\n{log.read_text(errors='replace')[-3000:]}")
    seconds = time.monotonic() - start
    return Measured(seconds, usage.ru_utime + usage.ru_stime, resident, anonymous)


def memory(pid: int, name: str) -> int:
    """Bytes that the kernel tells of a process under this name; 0 when it has ended."""
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
