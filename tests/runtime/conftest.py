"""The published repositories in small, built once, and a hub on loopback that serves them."""

import pytest

from tests.hub.published import published as build
from tests.hub.server import serve
from tests.runtime.fetching import FILES


@pytest.fixture(scope="session")
def repositories(tmp_path_factory):
    return build(tmp_path_factory.mktemp("published"))


@pytest.fixture
def hub(repositories):
    with serve({name: dict(files) for name, files in repositories.items()}) as running:
        yield running


@pytest.fixture
def small():
    """A hub with one model of two files, and a card."""
    with serve({"me/model": dict(FILES)}) as running:
        yield running
