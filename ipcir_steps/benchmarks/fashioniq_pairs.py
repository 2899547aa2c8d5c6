"""FashionIQ by the other protocol of the literature: only references and targets of the captions are searched.

VAL (Chen et al., CVPR 2020) introduced it, and CoSMo's code has it beside the official one ("VAL evaluation method").
Fewer images (dress: 2,628 in place of 3,817) give higher numbers, so it is a benchmark of its own: its results are in
parts of their own in every table, and no published number of the official protocol is set beside them.
"""

import dataclasses
from pathlib import Path

from ipcir_steps.benchmarks import fashioniq
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Image, Query


def read(settings: Source, split: str) -> tuple[list[Query], list[Image]]:
    """Queries as FashionIQ has them; each category's gallery: its references and targets, in the order of first use.

    Raises InputError for captions without targets: the gallery of a hidden split is not known.
    """
    queries = fashioniq.read_captions(settings, split)
    galleries: dict[str, list[str]] = {}
    for query in queries:
        if not query.targets:
            raise InputError(
                "is missing",
                file=Path(settings.root) / f"captions/cap.{query.category}.{split}.json",
                record=query.query_id,
                field="target",
                remedy="This protocol needs a split with targets, such as val.",
            )
        for name in (query.reference, *query.targets):
            if query.category not in galleries.setdefault(name, []):
                galleries[name].append(query.category)
    return queries, fashioniq.images_of(galleries, Path(settings.root))


BENCHMARK = dataclasses.replace(
    fashioniq.BENCHMARK,
    read=read,
    rules="fashioniq_pairs, not FashionIQ's own protocol: each category on the references and targets of its captions "
    "only; the reference stays",
    caution="FashionIQ with references and targets alone as its gallery: not comparable with FashionIQ's own protocol",
)
