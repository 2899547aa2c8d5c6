"""What all commands share."""

import argparse
import os
import subprocess
import sys

import pytest

from ipcir_steps import cli
from ipcir_steps.steps import STEPS


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


def below(parser: argparse.ArgumentParser):
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from below(sub)


def test_every_command_and_option_explains_itself():
    missing = []
    for parser in below(cli.command_line(STEPS)):
        assert "usage: ipcir" in parser.format_help()  # a bare % in a help text would raise
        for action in parser._actions:
            told = action._choices_actions if isinstance(action, argparse._SubParsersAction) else [action]
            missing += [f"{parser.prog}: {one.dest}" for one in told if not one.help]
    assert not missing
