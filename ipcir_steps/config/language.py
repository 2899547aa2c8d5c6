"""Settings of the rooms that a language model works in."""

from typing import Literal

from pydantic import Field

from ipcir_steps.config.base import Count, Fraction, Section


class Chat(Section):
    """How the chat model is asked, shared by reasoning and layouts."""

    backend: Literal["transformers", "openai"] = Field(
        "transformers", description="transformers (local model) or openai (any OpenAI-compatible server)"
    )
    base_url: str | None = Field(None, description="server address, for the openai backend")
    served_model: str | None = Field(None, description="the model's name on the server")
    temperature: float = Field(0.7, ge=0, description="sampling temperature; 0 is greedy")
    top_p: Fraction = Field(0.8, description="nucleus sampling: probability mass kept")
    max_new_tokens: Count = Field(512, description="longest answer, in tokens")
    batch_size: Count = Field(8, description="prompts generated together")


class Reasoning(Chat):
    """Target captions by divergent reasoning: one edit per source caption."""

    prompt: str = Field("reasoning", description="prompt file: a name under ipcir_steps/prompts or a path")
    max_new_tokens: Count = Field(96, description="longest answer, in tokens")


class Layouts(Chat):
    """Layouts of the imagined image."""

    prompt: str = Field("layouts", description="prompt file: a name under ipcir_steps/prompts or a path")
    retries: int = Field(3, ge=0, description="further tries after an invalid answer")
    constrained: bool = Field(True, description="constrained decoding: only valid layouts can be written")
