"""Stacks: named sets of models and settings. A configuration file of the workflow is one, too."""

import argparse
import contextlib
import dataclasses
import logging
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ipcir_steps.config import Config, Resolved, load_config
from ipcir_steps.config.data import MINI
from ipcir_steps.core import paths
from ipcir_steps.core.cache import home
from ipcir_steps.core.errors import InputError, ModelError

log = logging.getLogger("photos")
_MINI = f"{MINI}/models/"
USUAL = "laptop"


@dataclasses.dataclass(frozen=True)
class Stack:
    """config: its first backbone is used. root: the directory that ``resources`` lies in."""

    name: str
    config: Resolved
    root: Path

    @property
    def backbone(self) -> str:
        return self.config.backbones[0]

    def clip(self) -> Path:
        """Manifest (or directory) of the CLIP model. Raises ModelError with the command that fetches it."""
        return self._path(f"clip/{self.backbone}", self.config.clip[self.backbone])

    def model(self, role: str) -> Path:
        """The same for a model of the configuration's ``models``."""
        return self._path(role, self.config.models[role])

    def mapping(self, baseline: str) -> Path | None:
        """The same for the mapping network of a pseudo-word baseline; None where there is none."""
        found = self.config.mappings.get(baseline, {}).get(self.backbone)
        return found and self._path(f"mappings/{baseline}/{self.backbone}", found)

    def mark(self, folder: Path) -> str:
        """What every list carries when toy models look at pictures that are not of their world; else nothing."""
        if not self.config.stack.has_toys or MINI in folder.resolve().as_posix():
            return ""
        return f"TOY MODELS (stack {self.name}): they know nothing of these photos. Choose another --stack."

    def servers(self) -> list[str]:
        """Addresses of language models that imagining asks."""
        from ipcir_steps.imagine import llm

        return [*llm.servers(self.config.reasoning), *llm.servers(self.config.layouts)]

    def _path(self, name: str, model) -> Path:
        if (found := self._there(name, model)) is not None:
            return found
        if model.source.startswith(_MINI):
            build_mini(self.root / _MINI, self.config.seed)
            return self.root / model.source
        fetch = self._fetch(name, model)
        raise ModelError(f"the stack '{self.name}' lacks a model, {model.source}. Fetch it: {fetch}")

    def _there(self, name: str, model) -> Path | None:
        """The manifest (or directory) of a model; None where it is to be fetched or built."""
        manifest = self.root / paths.MANIFESTS / self.name / f"{name}.json"
        if manifest.is_file():
            return manifest
        source = self.root / model.source
        return source if source.exists() else None

    def _fetch(self, name: str, model) -> str:
        """The command that fetches a model, from whatever directory it is run."""
        root = self.root.resolve()
        options = {
            "--name": name.rpartition("/")[2], "--source": model.source, "--revision": model.revision,
            "--file": model.file, "--role": name.partition("/")[0],
            "--directory": root / paths.MODELS / self.name / name,
            "--output": root / paths.MANIFESTS / self.name / f"{name}.json",
        }  # fmt: skip
        words = [word for option, value in options.items() if value for word in (option, shlex.quote(str(value)))]
        return f"ipcir models {' '.join(words)}"

    @property
    def fetch_clip(self) -> str | None:
        """The command that fetches the CLIP model; None where it is there, or is built here."""
        name, model = f"clip/{self.backbone}", self.config.clip[self.backbone]
        if model.source.startswith(_MINI) or self._there(name, model):
            return None
        return self._fetch(name, model)


def asked_for(args: argparse.Namespace) -> Stack:
    """The stack of ``--stack``; without it ``laptop`` if its CLIP model has been fetched, else the toy models."""
    if args.stack:
        return stack(args.stack)
    wanted = stack(USUAL)
    return wanted if wanted.fetch_clip is None else stack("mini")


def warn_of_toys(chosen: Stack, folder: Path) -> None:
    """Say that nobody asked for the toy models, and how to have others."""
    if chosen.mark(folder):
        log.warning(
            "No --stack is given, and the CLIP model of '%s' is not here: toy models are used, which know nothing of"
            " photos; their lists mean nothing. Fetch it, then run this again: %s", USUAL, stack(USUAL).fetch_clip,
        )  # fmt: skip


def stack(name: str) -> Stack:
    """A stack by name, or the one that a configuration file (.yaml) describes last. Raises InputError for others.

    Models of a named stack lie in the working directory where that is a checkout of the workflow or holds some
    already, else in the user's cache.
    """
    if name.endswith((".yaml", ".yml")):
        import yaml

        try:
            values = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise InputError(f"cannot be read ({error})", file=name) from error
        config, own = load_config(values or {}, name), list((values or {}).get("stacks") or {})
        chosen = own[-1] if own else config.datasets[config.run[0]].stack
        return Stack(chosen, config.with_stack(chosen), Path("."))
    config = Config().with_stack(name)
    here = Path(".")
    if name == "mini":
        kept = (here / _MINI).is_dir()
    else:
        kept = (here / paths.MANIFESTS / name).is_dir() or (here / "Snakefile").is_file()
    return Stack(name, config, here if kept else home("cache") / "ipcir")


def build_mini(directory: Path, seed: int) -> None:
    """Build the models of the mini world, in a process of its own: nothing here imports the mini world."""
    log.info("building the models of the mini world in %s, once", directory)
    part = directory.with_name(f"{directory.name}.{os.getpid()}.part")
    command = [sys.executable, "-m", "ipcir_steps", "mini", "models", "--seed", str(seed), "--output", str(part)]
    try:
        subprocess.run(command, check=True, env={**os.environ, "IPCIR_PROVENANCE": ""}, capture_output=True, text=True)
        with contextlib.suppress(OSError):  # another process was faster
            part.rename(directory)
    except subprocess.CalledProcessError as error:
        raise ModelError(f"the models of the mini world could not be built ({error.stderr.strip()[-300:]})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
