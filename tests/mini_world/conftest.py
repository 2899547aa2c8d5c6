"""One small world and one set of checkpoints for all tests of the step."""

import pytest

from mini_world.export import export


@pytest.fixture(scope="session")
def mini_world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("world")
    export(directory, seed=5, queries=12, gallery=108)
    return directory


@pytest.fixture(scope="session")
def mini_models(tmp_path_factory):
    from mini_world.models import build

    directory = tmp_path_factory.mktemp("models")
    build(directory, seed=5)
    return directory
