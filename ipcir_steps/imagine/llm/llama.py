"""llama.cpp in this process: a GGUF file, one answer after the other, each from its own seed."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.config.language import LLM
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.devices import loaded
from ipcir_steps.core.errors import ModelError, StepFailure
from ipcir_steps.core.files import digest, dumps, seed
from ipcir_steps.imagine.llm import Group
from ipcir_steps.imagine.llm.llama_server import spare_amx
from ipcir_steps.imagine.llm.prefix import shared_start


def engine_options(settings: LLM) -> dict:
    """What the engine is started with, in this process or as a server; options of ``settings.engine`` win.

    All layers go to the GPU where llama.cpp was built for one. Prompts and answers take the threads that the workflow
    gives: left to itself, llama.cpp reads prompts with a thread per processor of the machine.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    options = {
        "n_ctx": settings.context_length,
        "n_gpu_layers": 0 if settings.device == "cpu" else -1,
        "n_threads": threads,
        "n_threads_batch": threads,
    }
    return options | settings.engine


class LlamaCpp:
    """Backend over ``llama_cpp.Llama``; loaded when the first answer is not in the cache.

    An answer depends on its own prompt and seed alone: what a step's prompts begin with is read once, the rest anew.
    """

    width, together = 1, False

    def __init__(self, settings: LLM, cache: Cache, path: Path, identity: list):
        self.settings, self.cache, self.path, self.tokens = settings, cache, path, 0
        self.digest, self._open = digest(identity), self._load

    @functools.cached_property
    def loaded(self):
        """What ``_load`` returns, or a sharing backend has."""
        return self._open()

    def share(self, other: "LlamaCpp") -> None:
        """Use the weights of a backend of the same model and engine options, once it has loaded them."""
        self._open = lambda: other.loaded

    def _load(self):
        """(model, function that writes a conversation as a prompt). Raises ModelError naming the path, or the package
        that is missing."""
        if self.path.suffix != ".gguf":
            raise ModelError(f"{self.path}: backend llama_cpp reads one GGUF file. Name it as the model's source.")
        try:
            import llama_cpp
            from llama_cpp.llama_chat_format import Jinja2ChatFormatter
        except ImportError as error:
            raise ModelError(
                f"backend llama_cpp needs llama-cpp-python ({error}): pip install 'ipcir[llama]'"
            ) from error
        spare_amx()
        try:
            model = llama_cpp.Llama(str(self.path), verbose=False, **engine_options(self.settings))
        except (ValueError, OSError, TypeError) as error:
            raise ModelError(f"{self.path}: llama.cpp could not load it ({error})") from error
        template = model.metadata.get("tokenizer.chat_template")
        if template is None:
            raise ModelError(f"{self.path}: it has no chat template. Use a chat (instruct) model.")
        marks = [model.detokenize([token], special=True).decode() for token in (model.token_eos(), model.token_bos())]
        loaded("language model", self.path)
        return model, Jinja2ChatFormatter(template, *marks, stop_token_ids=[model.token_eos()])

    def answer(self, groups: Sequence[Group]) -> list[list[str] | StepFailure]:
        return [
            [self._one(c, seed(group.seed, n), group.schema) for n, c in enumerate(group.conversations)]
            for group in groups
        ]

    def _one(self, conversation: list[dict], request_seed: int, schema: dict | None) -> str:
        key = [self.digest, digest([conversation, schema]), request_seed]
        text = self.cache.get(key)
        if text is None:
            text = self._decode(conversation, request_seed % 2**31, schema)
            self.cache.put(key, text)
        return text

    def _decode(self, conversation: list[dict], request_seed: int, schema: dict | None) -> str:
        model, _ = self.loaded
        prompt = self._tokens(conversation)
        self._begin(shared_start(conversation, [prompt], self._tokens))
        settings = self.settings
        if len(prompt) + 1 > settings.context_length:
            raise ModelError(f"a prompt has {len(prompt)} tokens; context_length is {settings.context_length}")
        completion = model.create_completion(
            prompt,
            max_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=0,
            min_p=0.0,
            repeat_penalty=1.0,
            seed=request_seed,
            grammar=None if schema is None else _grammar(dumps(schema)),
        )
        self.tokens += completion["usage"]["completion_tokens"]
        return completion["choices"][0]["text"]

    def _begin(self, start: list[int]) -> None:
        """Leave the model having read ``start`` and nothing else."""
        model, _ = self.loaded
        if model.input_ids[: model.n_tokens].tolist()[: len(start)] == start:
            model.n_tokens = len(start)
            return
        model.reset()
        model.eval(start)

    def _tokens(self, conversation: list[dict]) -> list[int]:
        model, write = self.loaded
        written = write(messages=conversation)
        return model.tokenize(written.prompt.encode(), add_bos=not written.added_special, special=True)


@functools.lru_cache(maxsize=4)
def _grammar(schema: str):
    from llama_cpp import LlamaGrammar

    return LlamaGrammar.from_json_schema(schema, verbose=False)
