"""Settings of the sensitivity sweep, the figures and the query browser."""

from pydantic import Field

from ipcir_steps.config.base import Count, Fraction, Section


class Sensitivity(Section):
    """Settings around the configured ones, ranked in one pass over the gallery."""

    lambdas: tuple[Fraction, ...] = Field(
        tuple(step / 10 for step in range(11)), min_length=1, description="values of lambda (fig. 7, heat map)"
    )
    proxy_weights: tuple[float, ...] = Field(
        (0.0, 0.25, 0.5, 1.0, 2.0, 4.0), min_length=1, description="weights of the proxy beside the others (heat map)"
    )
    k: Count = Field(50, description="length of the ranked lists")
    resamples: Count = Field(1000, description="bootstrap resamples of the 95 % intervals")


class Figures(Section):
    """Figures that show queries, and the query browser."""

    examples: Count = Field(6, description="queries per figure")
    top: Count = Field(5, description="ranked images per query")
    page_queries: Count = Field(400, description="most queries in the query browser")
    page_pixels: Count = Field(160, description="longest side of the page's pictures")
