"""Asking a chat model: a local one through transformers, or any OpenAI-compatible server, with a cache of answers.

A *group* is the requests of one query. A local model answers a group as one batch, so a query's answers never
depend on which other queries run with it; a server answers each request for itself.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ipcir_steps.config.language import LLM
from ipcir_steps.config.settings import add_settings
from ipcir_steps.core.arguments import InFile, Scratch
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.shards import add_shards


@dataclasses.dataclass(frozen=True)
class Group:
    """Conversations (lists of {role, content}) answered under one seed; schema: JSON schema the answers must obey."""

    conversations: Sequence[list[dict[str, str]]]
    seed: int
    schema: dict | None = None


class Backend(Protocol):
    """digest: identity of the model and the sampling settings. tokens: generated so far. width: groups per call.

    together: the groups of a call share batches, so an answer may depend, in its last bits, on who else was asked.
    """

    digest: str
    tokens: int
    width: int
    together: bool

    def answer(self, groups: Sequence[Group]) -> list[list[str] | StepFailure]: ...


def open_llm(settings: LLM, model: str | Path | None, cache: str | Path | None) -> Backend:
    """The configured backend. model: manifest or directory (transformers); cache: directory, None for no cache.

    Raises InputError when a setting of the backend is missing, ModelError when the model cannot be loaded.
    """
    store = Cache(cache)
    if settings.backend == "openai":
        from ipcir_steps.imagine.llm.server import Server

        return Server(settings, store)
    if model is None:
        raise InputError("is needed by the transformers backend", field="--model")
    from ipcir_steps.imagine.llm.local import Local

    return Local(settings, store, model)


def servers(settings: LLM) -> list[str]:
    """Addresses of the servers that this step may reach; none but the configured one."""
    return [settings.base_url] if settings.backend == "openai" and settings.base_url else []


def speed(backend: Backend) -> Callable[[], dict]:
    """Tokens per second since this call, for the progress bar."""
    start = time.monotonic()
    return lambda: {"tokens/s": round(backend.tokens / max(time.monotonic() - start, 1e-3))}


def arguments(parser: argparse.ArgumentParser, section: type[LLM]) -> None:
    """What reasoning and layouts have in common on the command line."""
    parser.add_argument("--queries", type=InFile, required=True, help="queries.jsonl")
    parser.add_argument("--captions", type=InFile, required=True, help="source_captions.jsonl: query_id, captions")
    parser.add_argument("--model", type=InFile, help="manifest or directory of the chat model (transformers backend)")
    parser.add_argument("--cache", type=Scratch, help="directory of answers already given; none by default")
    parser.add_argument("--seed", type=int, default=0, help="run seed")
    add_shards(parser, "queries", "JSON lines to write")
    add_settings(parser, section)
