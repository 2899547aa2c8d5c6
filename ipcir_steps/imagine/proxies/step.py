"""Draw the proxies of many queries: journaled, resumable, the same bytes in any shard."""

import logging
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.core.records import Query
from ipcir_steps.core.shards import run_shards, shard
from ipcir_steps.imagine.proxies import images
from ipcir_steps.imagine.proxies.acceptance import draw_accepted, load_check
from ipcir_steps.imagine.proxies.enrichment import enrich, read_statistics
from ipcir_steps.imagine.proxies.generator import Generator, load_generator
from ipcir_steps.imagine.proxies.tasks import Inputs

log = logging.getLogger(__name__)


def draw_proxies(
    queries: list[Query],
    inputs: Inputs,
    settings: Proxies,
    models: dict[str, Manifest],
    *,
    directory: Path,
    outputs: Sequence[Path],
    shards: Sequence[str] = ("0/1",),
    run_seed: int,
    generator: Generator | None = None,
    numbers: Sequence[int] | None = None,
) -> dict:
    """Write ``directory/{query_id}/{n}.png`` and, per shard, an index; return counts (done, failed, reused).

    An index record holds images, seeds, sha256, generator, steps and notes of the generator; or a failure.
    numbers: which images of each query are drawn, from 0; None: the configured number of them. Without a query in any
    of the shards no model is loaded.
    """
    by_query = {"key": "query_id", "key_of": lambda query: query.query_id, "title": "proxies"}
    if not any(shard(queries, spec) for spec in shards):
        return run_shards(queries, lambda batch: [], shards, outputs, context={}, **by_query)
    generator = generator or load_generator(settings, models)
    wanted = range(settings.count) if numbers is None else numbers
    statistics = read_statistics(settings.statistics) if settings.statistics else None
    check = load_check(settings, models)

    def work(batch: list[Query]) -> list:
        return [draw_query(query) for query in batch]

    def draw_query(query: Query) -> dict | StepFailure:
        try:
            task, planned = inputs.task(query, run_seed, wanted), {}
            if statistics is not None:
                task = enrich(task, statistics, settings.enrichment)
                planned = {"boxes": [list(instance.box) for instance in task.instances]}
            drawn, seeds, notes = draw_accepted(generator, task, check, settings)
        except StepFailure as failure:
            return failure
        names = [images.name_of(query.query_id, n) for n in wanted]
        return {
            "images": names,
            "seeds": seeds,
            "sha256": [images.save(image, directory, name) for image, name in zip(drawn, names, strict=True)],
            "generator": settings.generator,
            "steps": settings.steps,
            "models": generator.identity,
            **planned,
            **notes,
        }

    context = {
        "seed": run_seed,
        "settings": settings.model_dump(),
        "generator": generator.identity,
        "statistics": statistics,
        "detector": check.identity if check else None,
        **({} if numbers is None else {"numbers": list(numbers)}),
    }
    counts = run_shards(
        queries,
        work,
        shards,
        outputs,
        context=context,
        content_of=inputs.content,
        reusable=lambda record: images.intact(record, directory),
        # Ready-made images and a custom generator may change without their settings.
        keep=settings.generator != "directory" and ":" not in settings.generator,
        **by_query,
    )
    log.info("%(done)d queries drawn, %(failed)d failed, %(reused)d reused", counts)
    return counts
