"""Layouts: the scene and the instances, with boxes, of the image that a query asks for."""

import argparse
from collections.abc import Sequence

from ipcir_steps.config.language import Layouts
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import seed
from ipcir_steps.core.records import Query
from ipcir_steps.imagine.layouts.counts import keep_counts
from ipcir_steps.imagine.layouts.parse import parse_layout
from ipcir_steps.imagine.layouts.schema import Instance, Layout, LayoutError, decoding_schema
from ipcir_steps.imagine.llm.prompts import Prompt

__all__ = ["Instance", "Layout", "LayoutError", "decoding_schema", "parse_layout", "plan"]


def plan(
    items: Sequence[tuple[Query, Sequence[str] | None]],
    prompt: Prompt,
    backend,
    settings: Layouts,
    run_seed: int,
    shown=None,
) -> list[dict | StepFailure]:
    """{"scene", "instances", "prompt": digest} per (query, source captions), or the failure.

    shown: the reference pictures (``llm.pictures.Shown``), for a prompt that shows them.
    An invalid answer is asked for again, under another seed, at most ``settings.retries`` times.
    """
    from ipcir_steps.imagine.llm import Group
    from ipcir_steps.imagine.llm.pictures import picture_of

    schema = decoding_schema(settings.max_instances, settings.max_text) if settings.constrained else None
    pictures = [
        picture_of(shown, query) if captions else StepFailure("no source captions") for query, captions in items
    ]
    results: list = list(pictures)
    waiting = [position for position, found in enumerate(pictures) if not isinstance(found, StepFailure)]
    for attempt in range(settings.retries + 1):
        groups = []
        for position in waiting:
            query, captions = items[position]
            quoted = "; ".join(list(dict.fromkeys(captions))[: settings.captions])
            conversation = prompt.render(caption=captions[0], captions=quoted, relative_caption=query.caption)
            asked = seed(run_seed, "layouts", query.query_id, attempt)
            groups.append(Group([conversation], asked, schema, pictures[position]))
        for position, answers in zip(waiting, backend.answer(groups), strict=True):
            results[position] = _result(answers, items[position][0], prompt, settings)
        waiting = [position for position in waiting if isinstance(results[position], LayoutError)]
        if not waiting:
            break
    return results


def _result(answers: list[str] | StepFailure, query: Query, prompt: Prompt, settings: Layouts) -> dict | StepFailure:
    if isinstance(answers, StepFailure):
        return answers
    try:
        layout = parse_layout(answers[0], settings.reading)
    except LayoutError as error:
        return error
    repairs = []
    if settings.keep_counts:
        layout, repairs = keep_counts(layout, query.caption)
    return {**layout.as_dict(), **({"repairs": repairs} if repairs else {}), "prompt": prompt.digest}


def arguments(parser: argparse.ArgumentParser) -> None:
    from ipcir_steps.imagine import llm

    llm.arguments(parser, Layouts)


def servers(args: argparse.Namespace) -> list[str]:
    from ipcir_steps.config.settings import read_settings
    from ipcir_steps.imagine import llm

    return llm.servers(read_settings(args.settings, Layouts))


def encloses(args: argparse.Namespace) -> bool:
    from ipcir_steps.config.settings import read_settings

    return read_settings(args.settings, Layouts).enclosed


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.config.settings import read_settings
    from ipcir_steps.core.records import as_dict, read_captions, read_queries
    from ipcir_steps.core.shards import run_shards
    from ipcir_steps.imagine.llm import open_llm, speed
    from ipcir_steps.imagine.llm.pictures import Shown
    from ipcir_steps.imagine.llm.prompts import load_prompt

    settings = read_settings(args.settings, Layouts)
    prompt = load_prompt(settings.prompt)
    captions = read_captions(args.captions)
    shown = Shown.of_files(prompt, args.references, args.root)
    backend = open_llm(settings, args.model, args.cache, prompt.sees)
    asked = settings.model_dump(
        include={"captions", "retries", "constrained", "max_instances", "max_text", "keep_counts", "reading"}
    )
    run_shards(
        [(q, captions.get(q.query_id)) for q in read_queries(args.queries)],
        lambda batch: plan(batch, prompt, backend, settings, args.seed, shown),
        args.shard,
        args.output,
        key="query_id",
        key_of=lambda item: item[0].query_id,
        context={"prompt": prompt.digest, "model": backend.digest, "seed": args.seed, **asked},
        content_of=lambda item: [as_dict(item[0]), item[1], *shown.content(item[0])],
        title="layouts",
        batch_size=backend.width,
        together=backend.together,
        note=speed(backend),
    )
