"""Settings of proxies that are captioned, so that their captions join the text side of a baseline. Off by default."""

import pydantic
from pydantic import Field

from ipcir_steps.config.base import Count, Fraction, Name, Section

CAPTIONED = "_captioned"  # in the name of every text side that the proxies' captions have joined


class Joining(Section):
    """How much the captions count, and whose they are."""

    weight: Fraction = Field(description="share of the captions in the text side; 0: the baseline as it is")
    others: bool = Field(False, description="control: each query gets the captions of another query's proxies")


class Joined(Joining):
    """A baseline whose text side the captions of the proxies join."""

    baseline: Name = Field(description="the baseline that they join")


class ProxyCaptions(Section):
    """Captions of the proxies, off by default."""

    count: Count = Field(1, description="captions per proxy; everything else is as under the stack's captions")
    joined: dict[Name, Joined] = Field(
        {},
        description="text sides that they join, by name: {ldre_captioned: {baseline: ldre, weight: 0.3}}; the name is "
        f"the baseline's with {CAPTIONED} behind it, and stands under baselines like any other",
    )

    @pydantic.model_validator(mode="after")
    def _names_tell_what_they_are(self) -> "ProxyCaptions":
        for name, joined in self.joined.items():
            if not name.startswith(f"{joined.baseline}{CAPTIONED}"):
                told = f"{joined.baseline}{CAPTIONED}"
                where = f"proxy_captions.joined.{name}"
                raise ValueError(f"{where}: the name must begin with {told!r}, lest it be taken for the baseline")
        return self


def uncaptioned(name: str) -> str:
    """The baseline that a text side is of, with captions of the proxies or without.

    >>> uncaptioned("ldre_captioned"), uncaptioned("ldre_captioned.others"), uncaptioned("ldre")
    ('ldre', 'ldre', 'ldre')
    """
    return name.partition(CAPTIONED)[0]
