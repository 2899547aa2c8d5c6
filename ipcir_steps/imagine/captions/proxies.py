"""``ipcir proxy_captions``: what each drawn proxy shows, in the captioner's words.

That an imagined image is described, and the description used beside the words of the query, is Paracosm's idea (Wang et
al., ECCV 2026, arXiv:2602.00813).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.config.vision import Captions
from ipcir_steps.core.arguments import ImageList, InFile, Root
from ipcir_steps.core.devices import lazy
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.files import read_jsonl
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.core.records import Image, Query, read_queries
from ipcir_steps.core.shards import add_shards, run_shards
from ipcir_steps.imagine.captions import caption_image, captioner

PURPOSE = "proxy_captions"  # of the seeds


def caption_proxies(names: list[str], root: Path, caption: Callable, settings: Captions, run_seed: int):
    """{"captions": those of the first image, then of the second, …}; the first StepFailure where one has none.

    names: of one query's images below ``root``. The captions of an image depend on nothing but it, its name and the
    seed.
    """
    found: list[str] = []
    for name in names:
        made = caption_image(Image(name, name), root, caption, settings, run_seed, PURPOSE)
        if isinstance(made, StepFailure):
            return made
        found += made["captions"]
    return {"captions": found}


def read_index(path: Path) -> dict[str, dict]:
    """{query id: record of its images}. Raises InputError for a record without images."""
    records = {}
    for number, record in enumerate(read_jsonl(path), 1):
        if not record.get("images") or "query_id" not in record:
            raise InputError("names no images", file=path, record=record.get("query_id", number), field="images")
        records[record["query_id"]] = record
    return records


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=InFile, required=True, help="queries.jsonl")
    parser.add_argument("--index", type=ImageList, required=True, help="index.jsonl of the proxies")
    parser.add_argument("--images", type=Root, required=True, help="directory that the index's paths are relative to")
    parser.add_argument("--model", type=InFile, required=True, help="manifest or directory of the captioner")
    parser.add_argument("--seed", type=int, default=0, help="run seed")
    add_shards(parser, "queries", "JSON lines to write: query_id, captions")
    add_settings(parser, Captions)


def main(args: argparse.Namespace) -> None:
    settings = read_settings(args.settings, Captions)
    model, index = load_manifest(args.model), read_index(args.index)
    caption = lazy(lambda: captioner(model.path, settings))

    def captioned(query: Query) -> dict | StepFailure:
        if query.query_id not in index:
            return StepFailure("no proxy was drawn")
        return caption_proxies(index[query.query_id]["images"], args.images, caption, settings, args.seed)

    def content(query: Query) -> list:
        record = index.get(query.query_id, {})
        return [record.get("images"), record.get("sha256")]

    run_shards(
        read_queries(args.queries),
        lambda batch: [captioned(query) for query in batch],
        args.shard,
        args.output,
        key="query_id",
        key_of=lambda query: query.query_id,
        context={"model": model.digest, "settings": settings.model_dump(exclude={"device"}), "seed": args.seed},
        content_of=content,
        title="proxy captions",
    )
