"""What a layout is: the schema that is stored, and the narrower one a model decodes under."""

import functools
import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ipcir_steps.core.errors import StepFailure

MOST_INSTANCES = 28  # what the layout-conditioned generator has channels for
GRID = 20  # a model chooses box coordinates on multiples of 1 / GRID

Text = Annotated[str, Field(min_length=1, max_length=600)]
Coordinate = Annotated[float, Field(ge=0, le=1)]


class LayoutError(StepFailure):
    """An answer that is no layout. ``field`` names what is wrong, as in ``instances[2].box``."""

    def __init__(self, field: str, problem: str):
        super().__init__(f"layout field '{field}': {problem}")
        self.field, self.problem = field, problem


def _ordered(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    if not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError("needs x1 < x2 and y1 < y2")
    return box


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Instance(_Strict):
    """One thing to draw. box: (x1, y1, x2, y2), fractions of the image, origin top left."""

    label: Text = Field(description="short name with its main attribute")
    category: Text = Field(description="kind of thing, one or two words")
    description: Text = Field(description="what it looks like")
    box: Annotated[tuple[Coordinate, Coordinate, Coordinate, Coordinate], AfterValidator(_ordered)]
    size: float = Field(ge=1, le=5, description="how large it looks: 1 tiny … 5 fills the image")
    from_query: bool = Field(description="it is in the reference image")
    modality: Literal["image", "text"] = Field(description="drawn like the reference image, or from text alone")


class Layout(_Strict):
    """The imagined image: a scene (background) and 1 to 28 instances."""

    scene: Text = Field(description="the background, without the instances")
    instances: tuple[Instance, ...] = Field(min_length=1, max_length=MOST_INSTANCES)

    def as_dict(self) -> dict:
        return self.model_dump(mode="json")


@functools.lru_cache(maxsize=8)
def decoding_schema(max_instances: int = 8, max_text: int = 160) -> dict:
    """JSON schema for constrained decoding, derived from ``Layout``: every string is bounded, numbers are enumerated.

    Bounds make each answer finite, also from an untrained model. max_instances: 1..28; max_text: longest
    description in characters (labels and categories get a quarter of it, at least 12).
    """
    schema = Layout.model_json_schema()
    instance = schema["$defs"]["Instance"]
    short = max(12, math.ceil(max_text / 4))
    words = {"label": short, "category": short, "description": max_text}
    grid = {"enum": [step / GRID for step in range(GRID + 1)]}
    properties = {name: {"type": "string", "pattern": _words(length)} for name, length in words.items()}
    properties["box"] = {"type": "array", "items": grid, "minItems": 4, "maxItems": 4}
    properties["size"] = {"enum": [1, 2, 3, 4, 5]}
    for name in ("from_query", "modality"):
        properties[name] = {k: v for k, v in instance["properties"][name].items() if k in ("type", "enum")}
    assert properties.keys() == instance["properties"].keys()
    items = _object({name: properties[name] for name in instance["properties"]})
    array = {"type": "array", "items": items, "minItems": 1, "maxItems": min(max_instances, MOST_INSTANCES)}
    return _object({"scene": {"type": "string", "pattern": _words(max_text)}, "instances": array})


def _object(properties: dict) -> dict:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _words(length: int) -> str:
    """English words and simple punctuation: what the text encoder of the generator was trained on."""
    return f"^[A-Za-z0-9][A-Za-z0-9 ,.'-]{{0,{length - 1}}}$"
