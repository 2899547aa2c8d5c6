"""One GPU for each job on a machine with several: ``ipcir devices -- COMMAND`` leases a device and runs the command.

Snakemake counts GPUs (``resources: gpu=1``) but names none. A lease is an ``flock`` on one file per device; the command
inherits it, so the kernel releases it when the last process of the job is gone, also after ``kill -9``. The files lie
in the machine's own ``/tmp`` (``IPCIR_DEVICE_LOCKS``), which Apptainer shows inside containers as well.
"""

import argparse
import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ipcir_steps.core.errors import InputError

log = logging.getLogger("devices")

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOCKS = "IPCIR_DEVICE_LOCKS"  # directory of the lock files
LISTED = "IPCIR_DEVICES"  # devices to lease, comma-separated, instead of what nvidia-smi lists
SCHEDULERS = {"SLURM_JOB_ID": "Slurm", "LSB_JOBID": "LSF", "PBS_JOBID": "PBS", "KUBERNETES_SERVICE_HOST": "Kubernetes"}
_PAUSE = 0.02  # seconds between two looks at devices that are all leased


def devices(environment: Mapping[str, str] = os.environ) -> list[str]:
    """What a job may lease: names for CUDA_VISIBLE_DEVICES (UUIDs where nvidia-smi tells them).

    Only those that CUDA_VISIBLE_DEVICES already allows, when it is set; none where there is no GPU.
    """
    if LISTED in environment:
        return _split(environment[LISTED])
    known = _nvidia()
    if VISIBLE not in environment:
        return [uuid for _, uuid in known]
    by_index, allowed = dict(known), []
    for name in _split(environment[VISIBLE]):
        if name in ("-1", "NoDevFiles"):  # CUDA ignores what follows an invalid entry
            break
        allowed.append(by_index.get(name, name))
    return allowed


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _nvidia() -> list[tuple[str, str]]:
    """(index, UUID) of each GPU of the machine."""
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    rows = [line.split(",") for line in done.stdout.splitlines()] if done.returncode == 0 else []
    return [(row[0].strip(), row[1].strip()) for row in rows if len(row) == 2]


def assigned(count: int, environment: Mapping[str, str] = os.environ) -> str | None:
    """Why there is nothing to lease: the scheduler that chose exactly the devices of this job; else None."""
    visible = _split(environment.get(VISIBLE, ""))
    scheduler = next((name for variable, name in SCHEDULERS.items() if variable in environment), None)
    return scheduler if visible and len(visible) <= count else None


def lock_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory of the lock files, made when it is absent; shared by all users of the machine."""
    given = environment.get(LOCKS)
    directory = Path(given or "/tmp/ipcir-devices")
    with contextlib.suppress(FileExistsError):
        directory.mkdir(parents=given is not None)
        directory.chmod(0o1777)  # as /tmp: whoever comes first owns it, everybody may lease
    if not directory.is_dir():
        raise InputError("is not a directory", file=directory, remedy=f"Remove it, or set {LOCKS}.")
    return directory


def _open(path: Path) -> int:
    """A descriptor of the lock file, of whichever user; made when absent. Never follows a link."""
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                created = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
                os.fchmod(created, 0o666)
                return created
        except OSError as error:
            raise InputError(f"cannot be opened ({error.strerror})", file=path, remedy=f"Set {LOCKS}.") from error


def _path(directory: Path, device: str) -> Path:
    return directory / f"{''.join(c if c.isalnum() or c in '-_' else '_' for c in device)}.lock"


def _try(path: Path) -> int | None:
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def lease(names: Sequence[str], count: int, directory: Path) -> dict[str, int]:
    """Wait for ``count`` devices; return {device: descriptor that holds the lease}.

    Those that wait queue up (one more lock), so none is overtaken for long and two jobs that want several devices
    never wait for each other. Raises InputError when there are fewer than ``count`` devices.
    """
    if count > len(names):
        remedy = "Ask for fewer (resources: gpu), or list more in CUDA_VISIBLE_DEVICES."
        raise InputError(f"{count} devices are wanted, there are {len(names)}", field="--count", remedy=remedy)
    held: dict[str, int] = {}
    queue = _open(directory / "queue.lock")
    try:
        fcntl.flock(queue, fcntl.LOCK_EX)
        told = False
        while True:
            for name in names:
                if name not in held and (handle := _try(_path(directory, name))) is not None:
                    held[name] = handle
                    if len(held) == count:
                        return held
            if not told:
                log.info("waiting: %d of %d devices are leased", len(names) - len(held), len(names))
                told = True
            time.sleep(_PAUSE)
    except BaseException:
        for handle in held.values():
            os.close(handle)
        raise
    finally:
        os.close(queue)


def run(command: Sequence[str], count: int, environment: Mapping[str, str] = os.environ) -> None:
    """Become ``command`` (exec), with ``count`` leased devices in CUDA_VISIBLE_DEVICES. Does not return.

    Nothing is leased when ``count`` is 0, a scheduler already assigned the devices, or the machine has none.
    """
    environment = dict(environment)
    scheduler = assigned(count, environment) if count else None
    names = devices(environment) if count and not scheduler else []
    if names:
        held = lease(names, count, lock_directory(environment))
        for handle in held.values():
            os.set_inheritable(handle, True)
            os.truncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()} {' '.join(command[:2])}\n".encode(), 0)
        environment[VISIBLE] = ",".join(held)
        log.info("leased %s", environment[VISIBLE])
    elif scheduler:
        log.info("%s assigned %s", scheduler, environment[VISIBLE])
    try:
        os.execvpe(command[0], list(command), environment)
    except OSError as error:
        raise InputError(f"cannot be started ({error.strerror})", file=command[0]) from error


def table(names: Sequence[str], directory: Path) -> str:
    """One line per device: free, or the process that leased it."""
    lines = []
    for name in names:
        path = _path(directory, name)
        handle = _try(path)
        holder = f"leased by process {path.read_text().strip()}" if handle is None else "free"
        if handle is not None:
            os.close(handle)
        lines.append(f"{name}  {holder}")
    return "\n".join(lines) or "no devices"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=1, help="devices to lease; 0 only runs the command")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="without: list the devices")


def main(args: argparse.Namespace) -> None:
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if args.count < 0:
        raise InputError(f"is {args.count}, not 0 or more", field="--count")
    if not command:
        print(table(devices(), lock_directory()))
        return
    sys.stdout.flush()
    run(command, args.count)
