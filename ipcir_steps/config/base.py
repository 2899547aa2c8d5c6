"""The shape every settings section shares."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Unknown keys are errors, values are not coerced from other types, and every field is described."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, serialize_by_alias=True)


def later(default, **about):
    """The field of a setting that came after work was finished with its section.

    At its default it is left out of the section's JSON, so that digests, journals and rules of that work stay as they
    were.
    """
    return Field(default, exclude_if=lambda value: value == default, **about)


Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
AUTO_DTYPE = "auto is float16 on a GPU (published practice) and float32 on a CPU"
