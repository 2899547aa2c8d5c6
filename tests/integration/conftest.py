"""A small workflow that can be run, killed and compared: real model classes, tiny weights, ten pictures, four queries.

They take from minutes to half an hour, so they are slow tests (`make test-all`, `make integration`). IPCIR_UNDISTURBED
names a directory that keeps the undisturbed run from one session to the next; IPCIR_KILLS bounds the kills (50).
"""

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import PIL.Image
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TARGET = "results/photos_metrics.json"
CONFIG = {
    "stacks": {
        "mini": {
            "captions": {"count": 2, "max_new_tokens": 6},
            "reasoning": {"max_new_tokens": 6},
            "layouts": {"max_new_tokens": 256, "max_instances": 2, "max_text": 24},
            "proxies": {"count": 2, "steps": 2, "width": 64, "height": 64},
        }
    },
    "resamples": 200,
}


@dataclasses.dataclass
class Workspace:
    """A copy of the workflow's files with the models in place; ``seen`` lists what each ``ipcir`` process saw."""

    directory: Path
    records: bool = True

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PATH": f"{self.directory / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "IPCIR_PROVENANCE": "provenance" if self.records else "",
            "XDG_CACHE_HOME": str(self.directory / "cache"),
        }

    def command(self, *arguments, cores=2, target=TARGET) -> list[str]:
        start = [sys.executable, "-m", "snakemake", "--cores", str(cores), target]
        return [*start, "--configfile", "mine.yaml", *arguments]

    def snakemake(self, *arguments, check=True, cores=2, target=TARGET, **more) -> subprocess.CompletedProcess:
        done = subprocess.run(
            self.command(*arguments, cores=cores, target=target),
            cwd=self.directory, env=self.environment, capture_output=True, text=True, **more,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done

    def ipcir(self, *arguments, **more) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "ipcir_steps", *map(str, arguments)]
        return subprocess.run(command, cwd=self.directory, env=self.environment, capture_output=True, text=True, **more)

    def configure(self, **changes) -> None:
        photos = {"benchmark": "folder", "root": "photos", "queries": "queries.csv", "exclude_reference": True}
        photos |= {"stack": "mini", "toy_models": True}
        config = {**CONFIG, "datasets": {"photos": {**photos, "lambda": 0.5}}, **changes}
        (self.directory / "mine.yaml").write_text(yaml.safe_dump(config))

    def results(self) -> dict[str, str]:
        """sha256 of every file below results/; shards and hidden files, which depend on how it ran, are left out."""
        root = self.directory / "results"
        return {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*"))
            if path.is_file() and not path.name.startswith(".") and "shards" not in path.parts
        }

    @property
    def seconds(self) -> float:
        """How long the undisturbed run took."""
        return float((self.directory / "seconds").read_text())

    def seen(self) -> list[dict[str, str]]:
        lines = (self.directory / "seen.txt").read_text().splitlines()
        return [dict(zip(("step", "partition", "devices"), line.split("|"), strict=True)) for line in lines]


@pytest.fixture(scope="session")
def mini_models(tmp_path_factory) -> Path:
    kept = Path(os.environ.get("IPCIR_UNDISTURBED", "nowhere")) / "resources/mini/models"
    if kept.is_dir():
        return kept
    directory = tmp_path_factory.mktemp("mini") / "models"
    command = [sys.executable, "-m", "ipcir_steps", "mini", "models", "--untrained", "--seed", "1"]
    subprocess.run([*command, "--output", str(directory)], check=True, cwd=ROOT)
    return directory


@pytest.fixture(scope="session")
def make_workspace(mini_models):
    """Function (directory, settings) -> Workspace."""

    def make(directory: Path, **settings) -> Workspace:
        directory.mkdir(parents=True)
        for name in ("Snakefile", "config.yaml"):
            shutil.copy(ROOT / name, directory)
        for name in ("rules", "envs", "profiles", "report"):
            shutil.copytree(ROOT / name, directory / name)
        (directory / "resources/mini").mkdir(parents=True)
        shutil.copytree(mini_models, directory / "resources/mini/models")
        (directory / "photos").mkdir()
        for number in range(10):
            image = PIL.Image.new("RGB", (60 + number, 64), (25 * number, 90, 255 - 25 * number))
            image.paste((255, 255, 0), (10 + number, 10, 30 + number, 40))
            image.save(directory / f"photos/p{number}.png")
        (directory / "queries.csv").write_text(
            "reference,caption,targets\np0.png,is redder,p9.png\np1.png,at night,p8.png|p7.png\n"
            "p0.png,is blue,p2.png\np3.png,two squares,p4.png\n"
        )
        (directory / "bin").mkdir()
        (directory / "bin/ipcir").write_text(
            "#!/bin/sh\n"
            f'echo "$1|$SLURM_JOB_PARTITION|$CUDA_VISIBLE_DEVICES" >> "{directory}/seen.txt"\n'
            f'exec "{sys.executable}" -m ipcir_steps "$@"\n'
        )
        (directory / "bin/ipcir").chmod(0o755)
        workspace = Workspace(directory)
        workspace.configure(**settings)
        return workspace

    return make


@pytest.fixture(scope="session")
def undisturbed(make_workspace, tmp_path_factory) -> Workspace:
    """One run from start to end on this machine: what every other way of running must equal."""
    kept = os.environ.get("IPCIR_UNDISTURBED")
    directory = Path(kept) if kept else tmp_path_factory.mktemp("undisturbed") / "work"
    if (directory / TARGET).is_file():
        return Workspace(directory)
    workspace = make_workspace(directory)
    begun = time.monotonic()
    workspace.snakemake(cores=4)
    (directory / "seconds").write_text(str(time.monotonic() - begun))
    return workspace
