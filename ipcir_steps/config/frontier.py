"""Settings of the frontier: one dataset drawn in several ways, retrieval beside cost."""

from pydantic import Field, JsonValue

from ipcir_steps.config.base import Count, Fraction, Identifier, Name, Section

CONFIGURED = "configured"  # what the stack itself draws, with which every setting is compared
NOTHING = "none"  # no images at all, which costs nothing


class Point(Section):
    """One way to draw the proxies: what differs from the dataset's stack."""

    proxies: dict[str, JsonValue] = Field({}, description="settings under `proxies` that differ from the stack's")
    models: dict[Name, Name] = Field(
        {}, description="{role: model}: which of the stack's models plays a role, where another one does"
    )


class Comparison(Section):
    """What is compared, beside the settings that are drawn."""

    counts: tuple[Count, ...] = Field(
        (), description="numbers of proxies: the first n of each setting count as settings of their own, not redrawn"
    )
    settled: tuple[Fraction, ...] = Field(
        (),
        description="bounds on the overlap of the robust proxy's first images with and without the last proxy, from "
        "which a query gets no further proxy",
    )
    certain: tuple[float, ...] = Field(
        (),
        description="bounds on the cosine by which the text's first image leads its second, from which a query gets no "
        "proxy at all",
    )
    stopping: tuple[Identifier, ...] = Field(
        (CONFIGURED,), description="settings for which the bounds `settled` and `certain` are tried"
    )
    top: Count = Field(10, description="how many first images are compared where lists are")
    tolerance: Fraction | None = Field(
        None,
        description="the lower end of the interval must not lie further below the configured setting's value; null: "
        "its upper end must not lie below it",
    )


class Frontier(Comparison):
    """Several ways to draw one dataset's proxies, side by side (target results/frontier/DATASET.json)."""

    settings: dict[Identifier, Point] = Field(
        {}, description="by name: {proxies: {…}, models: {…}}, each on top of the stack of the dataset"
    )
