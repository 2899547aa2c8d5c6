"""Settings of fusion and ranking: the analysis half."""

from typing import Literal

from pydantic import Field

from ipcir_steps.config.base import Count, Section


class Fusion(Section):
    """Robust proxy (eq. 1)."""

    weights: tuple[float, float, float] = Field((1.0, 1.0, 1.0), description="proxy, query, perturbation")
    scale: Literal["dataset", "query"] = Field(
        "dataset", description="maximum over the whole query set (published) or per query"
    )


class Ranking(Section):
    """Similarity balance (eq. 2) and top-k search."""

    k: Count = Field(50, description="length of the ranked lists")
    block: Count = Field(8192, description="gallery rows per block")
    memory_mb: Count = Field(2048, description="bound on resident memory, MiB")


class Tune(Ranking):
    """Grid for choosing lambda, the weights and the number of proxies."""

    lambdas: tuple[float, ...] = Field(
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), description="values of lambda", min_length=1
    )
    weights: tuple[tuple[float, float, float], ...] = Field(
        ((1.0, 1.0, 1.0),), description="weight triples: proxy, query, perturbation", min_length=1
    )
    proxies: tuple[Count, ...] = Field((), description="numbers of proxies; empty: all there are")
    scale: Literal["dataset", "query"] = Field("dataset", description="as in fusion")
