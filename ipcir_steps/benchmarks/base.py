"""What a benchmark is: how it is read, scored, tuned and shown. A new one is a file with one ``BENCHMARK``."""

import dataclasses
from collections.abc import Callable, Sequence

from ipcir_steps.benchmarks.server import ServerFile
from ipcir_steps.config.data import Source
from ipcir_steps.core.records import Image, Query
from ipcir_steps.core.scores import PerQuery

Reader = Callable[[Source, str], tuple[list[Query], list[Image]]]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    read: (settings, split) -> (queries, gallery), from the official files; no image is opened.
    per_query: (rankings, queries) -> {query id: {metric: fraction}}.
    total: (rankings, queries) -> {metric: fraction}, what the benchmark reports.
    rules: how it scores, in a sentence; it stands in every metrics file.
    headline: metrics of the result table and the figures, in order; the table shows the difference of the first.
    tuned_by: the one metric that decides wherever one must: lambda, weights, the best setting of a sweep and its
    intervals, the gain beside the controls.
    columns: metrics of the paper-style tables; table: 1 or 2, the one it stands in (3 shows all).
    categories: the tables show the metrics of each category ("dress/recall@10") before their means.
    image_sets: queries have image sets that are ranked apart; per_query and total then also take ``subset``.
    whole: its metrics need the place of every target in the whole gallery that the query searches: lists then also hold
    the targets below their end, at their places.
    caution: what every table and figure of its numbers says, where they could be taken for those of another benchmark.
    absent: what to do about images that are not there; {root} is the dataset's directory.
    server_files: what its server takes for the split whose targets are hidden.
    """

    read: Reader
    per_query: Callable[..., PerQuery]
    total: Callable[..., dict[str, float]]
    rules: str
    headline: Sequence[str]
    tuned_by: str
    columns: Sequence[str]
    table: int = 1
    categories: bool = False
    image_sets: bool = False
    whole: bool = False
    caution: str = ""
    absent: str = "Put them there"
    server_files: Sequence[ServerFile] = ()
