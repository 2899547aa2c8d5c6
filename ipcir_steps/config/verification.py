"""Settings of verification: the first candidates of each list are looked at."""

from typing import Literal

import pydantic
from pydantic import Field

from ipcir_steps.config.base import Count, Fraction, Section
from ipcir_steps.config.data import JUDGED
from ipcir_steps.config.language import LLM

Positive = pydantic.PositiveFloat
ALONE = ("captioner", "yes_no")  # judges to whom it does not matter what stands beside a candidate


class Chat(LLM):
    """How the chat model of yes_no and grid is asked. It is never sampled: the likeliest answer counts."""

    temperature: float = Field(0.0, ge=0, le=0, description="0: the likeliest answer")
    max_new_tokens: Count = Field(256, description="grid: longest answer, in tokens")

    @pydantic.model_validator(mode="after")
    def _takes_images(self) -> "Chat":
        if self.backend == "llama_cpp":
            remedy = "run llama-server with --mmproj and set backend: openai"
            raise ValueError(f"backend: llama_cpp is shown no images here; {remedy}")
        return self

    @property
    def served(self) -> bool:
        """Whether a server answers, somebody else's or one that the step starts. A Python that is named has the engine
        in place of this one."""
        return self.remote or self.server or self.server_python is not None


class Judging(Section):
    """What a judgement depends on."""

    judge: Literal["captioner", "yes_no", "grid"] | None = Field(
        None,
        description="captioner: likelihood of the target captions; yes_no: a chat model is asked about each candidate; "
        "grid: about all of them in one picture; null: nothing is verified",
    )
    role: str = Field("captioner", description="model that judges, by its role in the stack")
    k: Count = Field(20, description="first candidates of each list that are judged")
    longest: int = Field(448, ge=28, le=4096, description="yes_no, grid: longer side of a picture, pixels")
    captions: Count = Field(3, description="yes_no, grid: different target captions that the question tells")
    chat: Chat = Field(Chat(), description="yes_no, grid: the chat model")

    @property
    def chats(self) -> bool:
        """Whether a chat model judges."""
        return self.judge not in (None, "captioner")

    @property
    def remote(self) -> bool:
        """Whether a server that somebody else runs judges, so that no model is needed here."""
        return self.chats and self.chat.remote


class Combination(Section):
    """How the judgement and the ranking's own scores make the new order."""

    weight: Fraction = Field(0.3, description="share of the judgement; 0: the list as it was, 1: the judgement alone")
    temperature: Positive | None = Field(
        None,
        description="what the judgement's log-odds are divided by; null: by their standard deviation within the list",
    )
    weights: tuple[Fraction, ...] = Field(
        tuple(step / 10 for step in range(11)), min_length=1, description="tuned_on: weights to choose from"
    )
    temperatures: tuple[Positive | None, ...] = Field(
        (None, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0), min_length=1, description="tuned_on: temperatures to choose from"
    )


class Verify(Judging):
    """Verification of the first candidates, off by default."""

    combine: Combination = Field(Combination(), description="how judgement and ranking make the new order")

    @property
    def judging(self) -> Judging:
        """The part that judgements depend on: another weight must not make a run judge again."""
        return Judging(**{name: getattr(self, name) for name in Judging.model_fields})

    def judges_for(self, setting: str, rule: str | None) -> None:
        """Raises ValueError naming ``setting`` where a rule of balance needs a judge that there is not."""
        if rule in JUDGED and self.judge not in ALONE:
            named = " or ".join(ALONE)
            raise ValueError(
                f"{setting}: {rule} needs a judge that judges each image by itself: set verify.judge to {named}"
            )
