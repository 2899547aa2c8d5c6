"""Settings of the steps that a language model works in."""

from typing import Literal

import pydantic
from pydantic import Field

from ipcir_steps.config.base import Count, Section

# Options of an engine that are the workflow's to set, or that would run code or open doors from a model's directory.
UNSAFE = {"trust_remote_code", "model", "host", "port", "api_key", "seed", "uds"}


class LLM(Section):
    """How the chat model is asked, shared by reasoning and layouts."""

    backend: Literal["transformers", "vllm", "llama_cpp", "openai"] = Field(
        "transformers",
        description="transformers, vllm, llama_cpp (GGUF files): a model on this machine; openai: a server at base_url",
    )
    temperature: float = Field(0.7, ge=0, description="sampling temperature; 0 is greedy")
    top_p: float = Field(0.8, gt=0, le=1, description="nucleus sampling: probability mass kept")
    max_new_tokens: Count = Field(1024, description="longest answer, in tokens")
    batch_size: Count | None = Field(
        None,
        description="transformers: answers decoded side by side (null: 16); vllm: queries asked at once (null: 256)",
    )
    context_length: Count = Field(4096, description="vllm, llama_cpp: longest prompt and answer together, in tokens")
    engine: dict[str, bool | int | float | str] = Field(
        {}, description="vllm, llama_cpp: further options of the engine, such as tensor_parallel_size or n_gpu_layers"
    )
    server: bool = Field(
        False, description="vllm, llama_cpp: run the engine as a server process that the step starts and stops"
    )
    server_python: str | None = Field(
        None, description="server: the Python that has the engine, when it is not this one"
    )
    start_timeout: float = Field(1800, gt=0, description="server: seconds until the model must be loaded")
    device: str = Field(
        "auto", description="transformers: auto, cpu, cuda, cuda:1, …; llama_cpp: cpu keeps it off the GPU"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="transformers, vllm: number format of the weights; auto: float16 on a GPU, float32 on a CPU"
    )
    base_url: str | None = Field(None, description="openai: address of the server, such as http://localhost:8000/v1")
    served_model: str | None = Field(None, description="openai: the model's name on the server")
    key_variable: str = Field("OPENAI_API_KEY", description="openai: environment variable that holds the key, if any")
    concurrency: Count = Field(8, description="openai, server: requests under way together")
    timeout: float = Field(120, gt=0, description="openai, server: seconds for one whole answer")
    attempts: Count = Field(5, description="openai, server: requests for one answer before it is recorded as failed")
    longest_wait: float = Field(60, ge=0, description="openai, server: longest pause between two attempts, seconds")
    response_format: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema",
        description="openai: how a schema is sent (json_object: llama-cpp-python's form, a schema beside the type)",
    )

    @property
    def remote(self) -> bool:
        """Whether a server that somebody else runs answers, so that no model is needed here."""
        return self.backend == "openai"

    @property
    def enclosed(self) -> bool:
        """Whether the step talks to itself over loopback: to its own server, or vLLM's parts to each other."""
        return self.server or self.backend == "vllm"

    @pydantic.model_validator(mode="after")
    def _engine_is_named(self) -> "LLM":
        if self.server and self.backend not in ("vllm", "llama_cpp"):
            raise ValueError(f"server: backend {self.backend!r} is not run as a server; vllm and llama_cpp are")
        if refused := sorted(UNSAFE & self.engine.keys()):
            raise ValueError(f"engine: {refused[0]!r} cannot be set")
        return self


class Reasoning(LLM):
    """Target captions by divergent reasoning: one edit per source caption."""

    prompt: str = Field("reasoning", description="prompt file: the name of a shipped one or a path")
    captions: Count | None = Field(
        None, description="source captions edited per query; null: all (divergent reasoning), 1: the single form"
    )
    max_new_tokens: Count = Field(96, description="longest answer, in tokens")


class Layouts(LLM):
    """Layouts of the imagined image."""

    max_new_tokens: Count = Field(
        1024, description="longest answer, in tokens; a constrained answer is completed there"
    )
    prompt: str = Field("layouts", description="prompt file: the name of a shipped one or a path")
    captions: Count = Field(5, description="different source captions shown to the model")
    retries: int = Field(3, ge=0, description="retries after an invalid answer")
    constrained: bool = Field(True, description="constrained decoding: only valid layouts can be written")
    max_instances: int = Field(8, ge=1, le=28, description="constrained decoding: largest number of instances")
    max_text: int = Field(160, ge=12, le=600, description="constrained decoding: longest description, characters")
    reading: Literal["careful", "released"] = Field(
        "careful",
        description="how an answer is read; released, as by the released code: the smallest digit of a size such as "
        "3-4, the first of several scenes, and an instance may be drawn like the reference without being in it",
    )
    keep_counts: bool = Field(True, description="make the number of instances match a count that the caption states")
