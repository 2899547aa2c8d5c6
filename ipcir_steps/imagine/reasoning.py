"""Target captions: what the wanted image shows, one edit of each source caption (LDRE's divergent reasoning)."""

import argparse
import re
from collections.abc import Sequence

from ipcir_steps.config.language import Reasoning
from ipcir_steps.config.settings import read_settings
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import seed
from ipcir_steps.core.records import Query, as_dict, read_captions, read_queries
from ipcir_steps.core.shards import run_shards
from ipcir_steps.imagine import llm
from ipcir_steps.imagine.llm import Backend, Group
from ipcir_steps.imagine.llm.pictures import Shown, picture_of
from ipcir_steps.imagine.llm.prompts import PER_CAPTION, Prompt, load_prompt

LONGEST = 300  # characters; CLIP reads 77 tokens


def clean(answer: str) -> str:
    """The caption in an answer: its first line of text, without quotes, list numbers or a "Caption:" before it.

    >>> clean('\\n1. Caption: "a white horse"\\nIt is white.')
    'a white horse'
    """
    for line in answer[:4000].splitlines():
        line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
        line = re.sub(r"^(?:\d{1,2}[.)]|[-*])\s+", "", line)
        line = re.sub(r"^(?:[A-Za-z]+ )?caption\s*:\s*", "", line, flags=re.IGNORECASE)
        line = line.strip("\"'`* ")[:LONGEST].strip()
        if any(c.isalnum() for c in line):
            return line
    return ""


def target_captions(
    items: Sequence[tuple[Query, Sequence[str] | None]],
    prompt: Prompt,
    backend: Backend,
    run_seed: int,
    shown: Shown | None = None,
) -> list[dict | StepFailure]:
    """{"captions": one per source caption, "prompt": digest} per (query, source captions), or the failure.

    shown: the reference pictures, for a prompt that shows them. It then need not quote the source captions: there are
    as many answers, each under its own seed, because eq. 1 and LDRE hold one kind of captions against the other.
    An answer without text is replaced by "{source caption}, {relative caption}".
    """
    groups = [_group(query, captions, prompt, run_seed, shown) for query, captions in items]
    asked = iter(backend.answer([group for group in groups if isinstance(group, Group)]))
    results = []
    for (query, captions), group in zip(items, groups, strict=True):
        answers = next(asked) if isinstance(group, Group) else group
        if not isinstance(answers, StepFailure):
            texts = [clean(a) or f"{c}, {query.caption}" for a, c in zip(answers, captions, strict=True)]
            answers = {"captions": texts, "prompt": prompt.digest}
        results.append(answers)
    return results


def _group(query: Query, captions: Sequence[str] | None, prompt: Prompt, run_seed: int, shown: Shown | None):
    """What is asked for a query, or the failure."""
    if not captions:
        return StepFailure("no source captions")
    picture = picture_of(shown, query)
    if isinstance(picture, StepFailure):
        return picture
    conversations = [prompt.render(caption=_plain(c), relative_caption=_plain(query.caption)) for c in captions]
    return Group(conversations, seed(run_seed, "reasoning", query.query_id), picture=picture)


def _plain(text: str) -> str:
    return text.strip().rstrip(".")


def arguments(parser: argparse.ArgumentParser) -> None:
    llm.arguments(parser, Reasoning)


def servers(args: argparse.Namespace) -> list[str]:
    return llm.servers(read_settings(args.settings, Reasoning))


def encloses(args: argparse.Namespace) -> bool:
    return read_settings(args.settings, Reasoning).enclosed


def main(args: argparse.Namespace) -> None:
    settings = read_settings(args.settings, Reasoning)
    prompt = load_prompt(settings.prompt, PER_CAPTION)
    captions = read_captions(args.captions)
    shown = Shown.of_files(prompt, args.references, args.root)
    backend = llm.open_llm(settings, args.model, args.cache, prompt.sees)
    items = [(q, captions.get(q.query_id, [])[: settings.captions]) for q in read_queries(args.queries)]
    run_shards(
        items,
        lambda batch: target_captions(batch, prompt, backend, args.seed, shown),
        args.shard,
        args.output,
        key="query_id",
        key_of=lambda item: item[0].query_id,
        context={"prompt": prompt.digest, "model": backend.digest, "seed": args.seed, "n": settings.captions},
        content_of=lambda item: [as_dict(item[0]), item[1], *shown.content(item[0])],
        title="reasoning",
        batch_size=backend.width,
        together=backend.together,
        note=llm.speed(backend),
    )
