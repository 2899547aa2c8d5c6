"""Every path argument of every command has a type that says what it is for."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipcir_steps.core import arguments
from ipcir_steps.core.arguments import PathArgument
from ipcir_steps.steps import STEPS

TYPES = {kind for kind in vars(arguments).values() if isinstance(kind, type) and issubclass(kind, PathArgument)}


def every(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a command and of the commands below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from every(sub)


def of(name: str) -> list[argparse.Action]:
    parser = argparse.ArgumentParser()
    STEPS[name].load().arguments(parser)
    return list(every(parser))


@pytest.mark.parametrize("name", STEPS)
def test_every_path_has_a_role(name):
    for action in of(name):
        kind, default = action.type, action.default
        is_path = isinstance(kind, type) and issubclass(kind, Path)
        assert not is_path or kind in TYPES - {PathArgument}, f"{name} {action.option_strings or action.dest}: {kind}"
        # argparse converts defaults that are text; a default that is a plain path would lose its role.
        assert not isinstance(default, Path) or isinstance(default, PathArgument), f"{name} {action.option_strings}"


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if step.recorded])
def test_a_recorded_command_has_an_output(name):
    kinds = {action.type for action in of(name)}
    outputs = (arguments.OutFile, arguments.OutTree, arguments.OutImages, arguments.Directory)
    assert any(isinstance(kind, type) and issubclass(kind, outputs) for kind in kinds)


@pytest.mark.parametrize("name", STEPS)
def test_lists_of_images_have_a_root(name):
    parser = argparse.ArgumentParser()
    STEPS[name].load().arguments(parser)
    commands = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands += action.choices.values()
    for command in commands:
        kinds = [action.type for action in command._actions]
        assert arguments.ImageList not in kinds or kinds.count(arguments.Root) == 1
        assert (arguments.OutImageList in kinds) == (arguments.OutImages in kinds)


def test_they_are_paths_like_any_other(tmp_path):
    path = arguments.InFile(tmp_path / "a.txt")
    path.write_text("x")
    assert path == tmp_path / "a.txt" and hash(path) == hash(tmp_path / "a.txt") and path.name == "a.txt"
    assert isinstance(path.with_suffix(".b"), Path)
