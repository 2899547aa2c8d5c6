"""vLLM or llama.cpp as a server process that the step starts on this machine, waits for, and stops."""

import contextlib
import functools
import json
import logging
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path

import httpx

from ipcir_steps.config.language import LLM
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.core.processes import Owned
from ipcir_steps.core.progress import EVERY
from ipcir_steps.imagine.llm import llama_server, vllm_server
from ipcir_steps.imagine.llm.server import Server

log = logging.getLogger("models")
NAME = "llm"  # the model's name on the server
TAIL = 2000  # characters of the server's output in a message


@functools.cache
def address() -> str:
    """Address of the server of this process, on loopback at a port that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


class Served(Server):
    """Backend over a server of this step's own; started when the first answer is not in the cache.

    It listens on loopback and answers only who knows a key that is drawn anew each time. Raises ModelError with the end
    of its output when it does not come up within ``settings.start_timeout`` seconds, or ends before the step.
    """

    def __init__(self, settings: LLM, cache: Cache, manifest: Manifest):
        self._path, self._key = manifest.path, secrets.token_urlsafe()
        self._process, self._lock, self._up = None, threading.Lock(), False
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the server runs)
        form = "json_object" if settings.backend == "llama_cpp" else settings.response_format
        known = {"base_url": address(), "served_model": NAME, "response_format": form}
        identity = [settings.backend, manifest.digest, settings.context_length, settings.engine]
        super().__init__(settings.model_copy(update=known), cache, self._key, identity, self._start)

    def _start(self) -> None:
        with self._lock:
            if self._up and self._process.ended() is None:
                return
            if self._process is None:
                command = {"vllm": vllm_command, "llama_cpp": llama_command}[self.settings.backend]
                python = self.settings.server_python or sys.executable
                self._process = Owned(command(self.settings, self._path, python), self._environment(), self._output)
                weakref.finalize(self, self._process.stop)
            self._wait()

    def _environment(self) -> dict[str, str]:
        from ipcir_steps.imagine.llm.continuous import ENVIRONMENT

        quiet = {name: value for name, value in ENVIRONMENT.items() if "MULTIPROCESSING" not in name}
        keys = {"VLLM_API_KEY": self._key, "API_KEY": self._key}
        return {**quiet, **os.environ, **keys, "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}

    def _wait(self) -> None:
        begun = told = time.monotonic()
        while True:
            now = time.monotonic()
            if (status := self._process.ended()) is not None:
                raise ModelError(f"{self._path}: the {self.settings.backend} server ended ({status}): {self._tail()}")
            with contextlib.suppress(httpx.TransportError):
                if self._client.get("models", timeout=5).status_code == 200:
                    log.info("the %s server answers after %.0f s", self.settings.backend, now - begun)
                    self._up = True
                    return
            if now - begun > self.settings.start_timeout:
                raise ModelError(
                    f"{self._path}: the {self.settings.backend} server did not answer within"
                    f" {self.settings.start_timeout:g} s (start_timeout): {self._tail()}"
                )
            if now - told >= EVERY:
                told = now
                log.info("waiting for the %s server to load the model, %.0f s", self.settings.backend, now - begun)
            time.sleep(0.2)

    def _tail(self) -> str:
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - TAIL))
        return self._output.read().decode("utf-8", "replace").strip() or "it printed nothing"


def vllm_command(settings: LLM, path: str, python: str) -> list[str]:
    from ipcir_steps.imagine.llm.continuous import engine_options

    structured = json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})
    command = [python, str(Path(vllm_server.__file__)), "serve", path, "--served-model-name", NAME, *_where()]
    command += ["--structured-outputs-config", structured, "--disable-uvicorn-access-log", "--seed", "0"]
    for name, value in engine_options(settings).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            command.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            command += [f"--{flag}", str(value)]
    return command


def llama_command(settings: LLM, path: str, python: str) -> list[str]:
    from ipcir_steps.imagine.llm.llama import engine_options

    command = [python, str(Path(llama_server.__file__)), "--model", path, "--model_alias", NAME, *_where()]
    for name, value in engine_options(settings).items():
        command += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
    return command


def _where() -> list[str]:
    port = address().removesuffix("/v1").rpartition(":")[2]
    return ["--host", "127.0.0.1", "--port", port]
