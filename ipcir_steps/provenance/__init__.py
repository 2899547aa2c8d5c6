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

from ipcir_steps.core import paths, record_id
from ipcir_steps.steps import Step

log = logging.getLogger("provenance")


def directory() -> Path | None:
    """Where records lie, relative to the working directory; None where recording is switched off."""
    name = os.environ.get("IPCIR_PROVENANCE", paths.RECORDS)
    return Path(name) if name else None


def start(step: Step, argv: list[str], args: argparse.Namespace):
    """Begin a record: digests of the inputs, before anything is made. None where nothing is to be recorded."""
    root = directory()
    if root is None or not step.recorded:
        return None
    from ipcir_steps.provenance.record import Recording

    try:
        recording = Recording(root, step, argv, args)
    except OSError as error:
        log.warning("no record will be written: %s", error)
        return None
    record_id.begin(recording.id)
    return recording


def finish(recording) -> None:
    """Write the record. A record that cannot be written is logged; finished work is kept."""
    record_id.begin(None)
    if recording is None:
        return
    try:
        recording.finish()
    except OSError as error:
        log.warning("no record could be written (%s); ipcir audit will name what lacks one", error)


def run() -> dict:
    """What the workflow tells its steps: of the run (``IPCIR_RUN``) configfiles, overrides, revision and dirty; of the
    rule (``IPCIR_CONFIG``) what it takes from the configuration, as "values" by dotted keys."""
    values = _told("IPCIR_CONFIG")
    return _told("IPCIR_RUN") | ({"values": values} if values else {})


def _told(variable: str) -> dict:
    try:
        return json.loads(os.environ.get(variable) or "{}")
    except ValueError:
        return {}
