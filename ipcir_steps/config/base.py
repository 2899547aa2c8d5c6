"""The shape every settings section shares."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class Section(BaseModel):
    """Unknown keys are errors, values are not coerced from other types, and every field is described."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, serialize_by_alias=True)


class Growing(Section):
    """A section whose later settings are told only where they are used.

    later: names of settings that came after work was finished with this section. At their default they are left out of
    the section's JSON, so that digests, journals and rules of that work stay as they were.
    """

    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _used(self, handler: SerializerFunctionWrapHandler) -> dict:
        fields = type(self).model_fields
        idle = {name for name in self.later if getattr(self, name) == fields[name].default}
        return {key: value for key, value in handler(self).items() if key not in idle}


Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
AUTO_DTYPE = "auto is float16 on a GPU (published practice) and float32 on a CPU"
