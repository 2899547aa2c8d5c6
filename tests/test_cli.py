"""What all commands share."""

import os
import subprocess
import sys

import pytest

from ipcir_steps import cli


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_reads_to_its_end_is_no_error(unbuffered):
    command, environment = (
        [sys.executable, "-m", "ipcir_steps", "devices"],
        os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    process.stdout.close()  # as `| head` does
    assert (process.stderr.read(), process.wait()) == (b"", 0)


def test_another_broken_pipe_is_told(monkeypatch):
    from ipcir_steps.runtime import leases as devices

    def main(args):
        raise BrokenPipeError("of a server")

    monkeypatch.setattr(devices, "main", main)
    with pytest.raises(BrokenPipeError, match="of a server"):
        cli.main(["devices"])
