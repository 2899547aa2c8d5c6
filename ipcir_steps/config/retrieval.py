"""Settings of fusion and ranking: the analysis half."""

from typing import Literal

from pydantic import Field

from ipcir_steps.config.base import Count, Fraction, Section


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


class RankFusion(Section):
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): what both sides count, and how fast."""

    k: Count = Field(60, description="an image counts 1 / (k + its rank) on either side; 60 as published")
    lambda_: Fraction = Field(
        0.5,
        alias="lambda",
        description="what the text counts, the proxy one minus it, unless tuned_on or a rule chooses; 0.5: both alike, "
        "as published",
    )


class Tuning(Ranking):
    """Grid for choosing each variant's lambda on a labelled split."""

    lambdas: tuple[Fraction, ...] = Field(
        tuple(step / 10 for step in range(11)), min_length=1, description="values of lambda to choose from"
    )


class Grid(Tuning):
    """Grid for choosing lambda, the weights and the number of proxies together."""

    weights: tuple[tuple[float, float, float], ...] = Field(
        ((1.0, 1.0, 1.0),),
        min_length=1,
        description="not with --per-variant: weight triples of proxy, query, perturbation",
    )
    proxies: tuple[Count, ...] = Field((), description="not with --per-variant: numbers of proxies; empty: all")
    scale: Literal["dataset", "query"] = Field("dataset", description="not with --per-variant: as in fusion")
