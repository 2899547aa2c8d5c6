"""Copies of the workflow, run by Snakemake with the rules' own commands; the models are tiny and shared."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import PIL.Image
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORKED = Path(__file__).with_name("forked.py")
SMALL = {
    "stacks": {
        "mini": {
            "captions": {"count": 2, "max_new_tokens": 6},
            "reasoning": {"max_new_tokens": 6, "batch_size": 2},
            "layouts": {"batch_size": 2, "max_new_tokens": 256, "max_instances": 2, "max_text": 24},
            "proxies": {"count": 2, "steps": 2, "width": 64, "height": 64},
        }
    },
    "resamples": 200,
}


PHOTOS = {
    "benchmark": "folder", "root": "photos", "queries": "queries.csv", "exclude_reference": True, "lambda": 0.5,
    "stack": "mini", "toy_models": True,
}  # fmt: skip
DRAWN = {"datasets": {"mine": PHOTOS}, "run": ["mine"], "devices": 1, "sensitivity": {"resamples": 50}}
QUERIES = """reference,caption,targets
p0.png,"is ""redder"", and
larger for $5",p9.png
p1.png,has a café → at night,p8.png|p7.png
p0.png,is blue,p2.png
p3.png,two squares,p4.png
"""


@dataclasses.dataclass
class Workspace:
    """A copy of the workflow's files with the models in place.

    ipcir: what its rules call. source: the directory of the packages that it runs.
    """

    directory: Path
    ipcir: str
    source: Path = ROOT

    def __truediv__(self, name) -> Path:
        return self.directory / name

    def configure(self, config: Mapping) -> None:
        (self / "mine.yaml").write_text(yaml.safe_dump({**SMALL, **config}))

    def environment(self) -> dict[str, str]:
        (self / "bin").mkdir(exist_ok=True)
        (self / "bin/ipcir").write_text(f'#!/bin/sh\nexec {self.ipcir} "$@"\n')
        (self / "bin/ipcir").chmod(0o755)
        return os.environ | {
            "PATH": f"{self / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.source),
            "OMP_NUM_THREADS": "1",
            "IPCIR_PROVENANCE": "provenance",
            "XDG_CACHE_HOME": str(self / "cache"),
        }

    def run(self, *words) -> subprocess.CompletedProcess:
        """A command in this directory, with this workspace's ``ipcir`` in the path."""
        return subprocess.run(
            list(map(str, words)), cwd=self.directory, env=self.environment(), capture_output=True, text=True
        )

    def snakemake(self, *arguments, config: Mapping = {}, check=True) -> subprocess.CompletedProcess:
        self.configure(config)
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--configfile", "mine.yaml"]
        done = self.run(*command)
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done


@pytest.fixture
def photos() -> dict:
    """Settings of the dataset of ten pictures and four queries that every workspace has."""
    return dict(PHOTOS)


@pytest.fixture
def drawn_config() -> dict:
    """What ``drawn`` was made with."""
    return dict(DRAWN)


@pytest.fixture(scope="session")
def start_ipcir():
    """Function () -> words of a shell that run a command of ``ipcir``, each in a process of its own (forked.py).

    Every call starts another server, whose processes have another seed of Python's hashes.
    """
    servers = []

    def start() -> str:
        if sys.platform != "linux":  # elsewhere a process is not safely forked from one that has loaded torch
            return f"'{sys.executable}' -m ipcir_steps"
        directory = tempfile.mkdtemp(prefix="ipcir-")  # the name of a socket is short
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random"}
        command = [sys.executable, FORKED, "serve", f"{directory}/socket"]
        server = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        servers.append((server, directory))
        assert server.stdout.readline() == b"ready\n"
        return f"'{sys.executable}' -I -S '{FORKED}' {directory}/socket"

    yield start
    for server, directory in servers:
        server.stdin.close()
        server.wait()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def ipcir(start_ipcir) -> str:
    return start_ipcir()


@pytest.fixture(scope="session")
def make_workspace(trained_models):
    """Function (directory, ipcir) -> Workspace with ten pictures and four queries (the dataset PHOTOS)."""

    def make(directory: Path, ipcir: str) -> Workspace:
        directory.mkdir()
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(ROOT / name, directory)
        for name in ("rules", "envs", "profiles", "report"):
            shutil.copytree(ROOT / name, directory / name)
        (directory / "resources/mini").mkdir(parents=True)
        shutil.copytree(trained_models, directory / "resources/mini/models")
        (directory / "photos").mkdir()
        for number in range(10):
            image = PIL.Image.new("RGB", (60 + number, 64), (25 * number, 90, 255 - 25 * number))
            image.paste((255, 255, 0), (10 + number, 10, 30 + number, 40))
            image.save(directory / f"photos/p{number}.png")
        (directory / "queries.csv").write_text(QUERIES)
        return Workspace(directory, ipcir)

    return make


@pytest.fixture
def workspace(tmp_path, make_workspace, ipcir) -> Workspace:
    return make_workspace(tmp_path / "work", ipcir)


@pytest.fixture(scope="session")
def drawn(once, make_workspace, ipcir) -> Path:
    """A workspace in which one command has drawn every figure; tests work on a copy."""

    def make(directory):
        make_workspace(directory, ipcir).snakemake("figures", "results/mine_metrics.json", config=DRAWN)

    return once("drawn", make)


@pytest.fixture
def finished_workspace(tmp_path, drawn, ipcir) -> Workspace:
    """A copy of it, for a test's own changes."""
    return Workspace(Path(shutil.copytree(drawn, tmp_path / "work")), ipcir)
