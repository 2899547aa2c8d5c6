"""A folder of the mini world's pictures, its models, and an index of it."""

import argparse
import shutil
from pathlib import Path

import pytest

from ipcir_steps.photos.index import update
from ipcir_steps.photos.models import Models
from ipcir_steps.photos.stack import stack


@pytest.fixture(scope="session")
def house(tmp_path_factory) -> Path:
    """A working directory with the models of the mini world, trained, and its pictures in ``photos``."""
    from mini_world.export import export
    from mini_world.models import SHIPPED, build

    root = tmp_path_factory.mktemp("house")
    build(root / "resources/mini/models", 2025, SHIPPED)
    export(root / "world", 2025, 40, 300, ["circo"])
    shutil.copytree(root / "world/mini_circo/COCO2017_unlabeled/unlabeled2017", root / "photos")
    return root


@pytest.fixture
def here(house, monkeypatch) -> Path:
    """The same as the working directory."""
    monkeypatch.chdir(house)
    return house


@pytest.fixture(scope="session")
def models(house) -> Models:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(house)
        chosen = stack("mini")
        loaded = Models(type(chosen)(chosen.name, chosen.config, house))
        loaded.encoder()
    return loaded


@pytest.fixture(scope="session")
def indexed(house, models) -> Path:
    """Directory of a finished index of ``photos`` (for reading)."""
    directory = house / "index/mini"
    update(house / "photos", directory, models, progress=False)
    return directory


def of(command: str, *words) -> argparse.Namespace:
    """The arguments of a command, as the command line makes them."""
    from ipcir_steps.steps import STEPS

    parser = argparse.ArgumentParser()
    STEPS[command].load().arguments(parser)
    return parser.parse_args([str(word) for word in words])
