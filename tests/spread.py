"""Tests on several processes: what is expensive is made once, and limits of time follow the machine.

A plugin of the tests (``pytest_plugins`` in conftest.py).
"""

import ast
import fcntl
import functools
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LONG = ("integration", "workflow")
# A fixture that is made once for all workers, by what tests ask for. Its tests stay on the worker that makes it, so
# that no other waits for it meanwhile.
SHARED = {"finished": "finished", "drawn": "drawn", "finished_workspace": "drawn"}


def slowness_now() -> float:
    """How much longer than on an idle machine of our own everything takes here and now; at least 1."""
    begun = time.process_time()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000)
    speed = (time.process_time() - begun) / 0.023  # seconds that this takes us
    return max(1.0, speed) * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.hookimpl(tryfirst=True)  # before the limit is read
def pytest_configure(config):
    config.slowness = slowness_now()
    if config.option.timeout:
        config.option.timeout *= config.slowness


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """Integration tests are slow. Whole workflows come first, so that no worker is left with one at the end."""
    for item in items:
        if item.path.parent.name == "integration":
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.path.parent.name not in LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests of one ``scope`` run on one worker (--dist loadscope)."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Spread(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    return Spread(config, log)


def scope(nodeid: str) -> str:
    """Which tests share a worker: those of a shared fixture, those of a module; a whole workflow's test has its own."""
    path, _, test = nodeid.partition("::")
    place, asked = TESTS.parent / path, parameters(TESTS.parent / path).get(test.partition("[")[0], ())
    if place.parent.name == "integration":
        return "integration"
    if place.parent.name == "workflow" and {"workspace", "make_workspace"} & set(asked):
        return nodeid
    return next((SHARED[name] for name in asked if name in SHARED), path)


@functools.cache
def parameters(path: Path) -> dict[str, list[str]]:
    """{test: fixtures that it asks for} of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {node.name: [argument.arg for argument in node.args.args] for node in functions}


@pytest.fixture(scope="session")
def slowness(request) -> float:
    """Factor for limits of time: 1 on an idle machine as fast as ours, more on a slower or busier one."""
    return request.config.slowness


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Function (name, make) -> a directory that ``make(directory)`` filled, once for all workers."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        directory, done = root / name, root / f"{name}.done"
        with open(root / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(directory, ignore_errors=True)  # what a maker that failed left
                make(directory)
                done.touch()
        return directory

    return made
