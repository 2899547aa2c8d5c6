"""What the page may ask, checked in form and size before anything is done."""

import json
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ipcir_steps.core.errors import InputError
from ipcir_steps.imagine.layouts import Layout
from ipcir_steps.photos.terms import LONGEST

Weight = Annotated[float, Field(ge=-100, le=100)]
Number = Annotated[int, Field(ge=0, lt=1 << 40)]
Key = Annotated[str, Field(pattern="^[0-9a-f]{24}$")]
Day = Annotated[str, Field(max_length=10)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


R = TypeVar("R", bound=Request)


class Picture(Request):
    """A photo of the folder by its line, or a picture that was sent by its name."""

    line: Number | None = None
    upload: Annotated[str, Field(max_length=64)] | None = None
    weight: Weight = 1.0

    @model_validator(mode="after")
    def _one(self) -> "Picture":
        if (self.line is None) == (self.upload is None):
            raise ValueError("give line or upload")
        return self


class Range(Request):
    """``finder.Limits``."""

    k: Annotated[int, Field(ge=1, le=500)] = 50
    min_score: Annotated[float, Field(ge=-1e6, le=1e6)] | None = None
    after: Day | None = None
    before: Day | None = None
    sort: Literal["score", "date"] = "score"
    collapse: bool = False
    exclude_reference: bool = True


class Sliders(Request):
    """What was imagined under ``key``, how its parts are weighed, and which of them count (None: all)."""

    key: Key
    weights: tuple[Weight, Weight, Weight] = (1.0, 1.0, 1.0)
    lam: Annotated[float, Field(ge=0, le=1, alias="lambda")] = 0.5
    captions: Annotated[list[Number], Field(max_length=200)] | None = None
    proxies: Annotated[list[Number], Field(max_length=200)] | None = None


class Words(Request):
    references: Annotated[list[Picture], Field(max_length=16)] = []
    text: Annotated[str, Field(max_length=LONGEST)] = ""


class Asked(Words):
    """A search; base: the list of the text side beside that of IP-CIR."""

    limits: Range = Range()
    imagined: Sliders | None = None
    base: bool = True


def _drawable(layout: Layout) -> Layout:
    if len(layout.instances) > 14:  # one drawn like the reference takes two of the generator's 28
        raise ValueError("at most 14 instances can be drawn")
    return layout


class Imagine(Words):
    """layout: one that a person edited, drawn in place of the planned one."""

    layout: Annotated[Layout, AfterValidator(_drawable)] | None = None


class Named(Request):
    key: Key


class Trail(Request):
    """Questions in the order they were asked."""

    questions: Annotated[list[Words], Field(min_length=1, max_length=500)]


def read(kind: type[R], body: bytes) -> R:
    """Raises InputError for what is no JSON, pydantic.ValidationError for what is not of this kind."""
    try:
        text = body.decode("utf-8")
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is not JSON ({type(error).__name__})") from None
    return kind.model_validate_json(text)
