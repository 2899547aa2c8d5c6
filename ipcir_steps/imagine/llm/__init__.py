"""Asking a language model: one on this machine (transformers, vLLM, llama.cpp) or any OpenAI-compatible server, with a
cache of answers.

A *group* is the requests of one query. Every request has a seed of its own, so that answers do not depend on which
other queries are asked with it, up to the rounding of sums in a batch (see ``Batched``).
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ipcir_steps.config.language import LLM
from ipcir_steps.config.settings import add_settings
from ipcir_steps.core.arguments import ImageList, InFile, Root, Scratch
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.core.shards import add_shards
from ipcir_steps.imagine.llm.pictures import Picture


@dataclasses.dataclass(frozen=True)
class Group:
    """Conversations (lists of {role, content}) answered under one seed; schema: JSON schema the answers must obey;
    picture: shown in the last message of each."""

    conversations: Sequence[list[dict[str, str]]]
    seed: int
    schema: dict | None = None
    picture: Picture | None = None


class Backend(Protocol):
    """digest: identity of the model and the sampling settings. tokens: generated so far. width: groups per call.

    together: the groups of a call share batches, so an answer may depend, in its last bits, on who else was asked.
    """

    digest: str
    tokens: int
    width: int
    together: bool

    def answer(self, groups: Sequence[Group]) -> list[list[str] | StepFailure]: ...


def open_llm(settings: LLM, model: str | Path | None, cache: str | Path | None, sees: bool = False) -> Backend:
    """The configured backend. model: manifest, directory or file, None for a server that somebody else runs; cache:
    directory, None for no cache; sees: pictures will be shown.

    Raises InputError when a setting of the backend is missing or it takes no pictures, ModelError when the model cannot
    be loaded.
    """
    store = Cache(cache)
    if sees and settings.backend == "llama_cpp":
        raise InputError(
            "llama_cpp is shown no pictures here, but the prompt shows one", field="backend",
            remedy="Set transformers or vllm, or openai with a server that takes images (llama-server --mmproj).",
        )  # fmt: skip
    if settings.remote:
        from ipcir_steps.imagine.llm.server import Server

        return Server(settings, store)
    if model is None:
        raise InputError(f"is needed by the {settings.backend} backend", field="--model")
    manifest = load_manifest(model)
    if settings.server:
        from ipcir_steps.imagine.llm.served import Served

        return Served(settings, store, manifest)
    path = Path(manifest.path)
    how = [settings.temperature, settings.top_p, settings.max_new_tokens]
    if settings.backend == "llama_cpp":
        from ipcir_steps.imagine.llm.llama import LlamaCpp

        return LlamaCpp(settings, store, path, ["llama_cpp", manifest.digest, *how, settings.context_length])
    from ipcir_steps.imagine.llm.batched import Batched

    if settings.backend == "vllm":
        from ipcir_steps.imagine.llm.continuous import VLLM

        how += [settings.dtype, settings.context_length, settings.engine]
        return Batched(VLLM(settings, path), store, settings.batch_size or 256, ["vllm", manifest.digest, *how])
    from ipcir_steps.imagine.llm.seeing import Seeing, takes_images

    size = settings.batch_size or 16
    if sees or takes_images(path):
        return Batched(Seeing(settings, path, size), store, 1, ["sees", manifest.digest, *how, settings.dtype, size])
    from ipcir_steps.imagine.llm.local import Local

    return Batched(Local(settings, path, size), store, size, [manifest.digest, *how, settings.dtype])


def servers(settings: LLM) -> list[str]:
    """Addresses of the servers that this step may reach: the configured one, or its own on loopback."""
    if settings.enclosed:
        from ipcir_steps.imagine.llm.served import address

        return [address()]
    return [settings.base_url] if settings.remote and settings.base_url else []


def speed(backend: Backend) -> Callable[[], dict]:
    """Tokens per second since this call, for the progress bar."""
    start = time.monotonic()
    return lambda: {"tokens/s": round(backend.tokens / max(time.monotonic() - start, 1e-3))}


def arguments(parser: argparse.ArgumentParser, section: type[LLM]) -> None:
    """What reasoning and layouts have in common on the command line."""
    parser.add_argument("--queries", type=InFile, required=True, help="queries.jsonl")
    parser.add_argument("--captions", type=InFile, required=True, help="source_captions.jsonl: query_id, captions")
    parser.add_argument(
        "--references", type=ImageList, help="references.jsonl, where the prompt shows the reference picture"
    )
    parser.add_argument("--root", type=Root, help="directory that the paths in --references are relative to")
    parser.add_argument("--model", type=InFile, help="manifest, directory or GGUF file of the language model")
    parser.add_argument("--cache", type=Scratch, help="directory of answers that were given before; default: none")
    parser.add_argument("--seed", type=int, default=0, help="run seed")
    add_shards(parser, "queries", "JSON lines to write")
    add_settings(parser, section)
