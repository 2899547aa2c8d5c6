"""The record that every step leaves: what it made, of what, with which code, weights, settings, software and machine.

``ipcir`` itself writes it after a step has succeeded, so it is the same on a laptop, in a container, under a scheduler
and by hand. Records lie below ``provenance/`` (``IPCIR_PROVENANCE`` names another directory; empty: no records), at the
path of the step's first output, outside ``results/``: artefacts carry no times and are the same bytes in every run.
"""

import argparse
import json
import logging
import os
from pathlib import Path

log = logging.getLogger("provenance")

# Rooms whose output is no result, or which read records themselves.
UNRECORDED = {"config", "audit", "crate", "doctor", "plan", "containers", "devices"}
_current: str | None = None


def directory() -> Path | None:
    """Where records lie, relative to the working directory; None where recording is switched off."""
    name = os.environ.get("IPCIR_PROVENANCE", "provenance")
    return Path(name) if name else None


def record_id() -> str | None:
    """The id of the record that the running step will leave; None outside a recorded step.

    It depends on room, parameters, inputs and code, not on times or machines: pictures carry it and stay reproducible.
    """
    return _current


def start(room: str, argv: list[str], args: argparse.Namespace):
    """Begin a record: digests of the inputs, before anything is made. None where nothing is to be recorded."""
    global _current
    root = directory()
    if root is None or room in UNRECORDED:
        return None
    from ipcir_steps.provenance.record import Recording

    try:
        recording = Recording(root, room, argv, args)
    except OSError as error:
        log.warning("no record will be written: %s", error)
        return None
    _current = recording.id
    return recording


def finish(recording) -> None:
    """Write the record. A record that cannot be written is told and does not spoil finished work."""
    global _current
    _current = None
    if recording is None:
        return
    try:
        recording.finish()
    except OSError as error:
        log.warning("no record could be written (%s); ipcir audit will name what lacks one", error)


def run() -> dict:
    """What the Snakefile tells its steps about the run (``IPCIR_RUN``): configfiles, overrides, revision, dirty."""
    try:
        return json.loads(os.environ.get("IPCIR_RUN") or "{}")
    except ValueError:
        return {}
