"""The shape every settings section shares."""

import difflib
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


def plain(value, full: bool = False):
    """Sections, and dictionaries of them, as what a user would write; full: with the defaults."""
    if isinstance(value, dict):
        return {key: plain(entry, full) for key, entry in value.items()}
    return value.model_dump(mode="json", exclude_unset=not full)


def nearest(name: str, known) -> str:
    """What stands behind an unknown name in a message: the known one that is most like it, or all of them."""
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(map(str, known))})"


Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]  # what NAME=FILE on a command line takes
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
AUTO_DTYPE = "auto is float16 on a GPU (published practice) and float32 on a CPU"
