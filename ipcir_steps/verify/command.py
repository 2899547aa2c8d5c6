"""``ipcir verify``: a judge looks at the first candidates of every list."""

import argparse

from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.config.verification import Judging
from ipcir_steps.config.vision import Captions
from ipcir_steps.core.arguments import InFile, Root, Scratch
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.files import stamp
from ipcir_steps.core.rankings import read_rankings
from ipcir_steps.core.records import read_captions, read_images, read_queries
from ipcir_steps.core.shards import add_shards, run_shards
from ipcir_steps.imagine import llm
from ipcir_steps.verify.asked import Asked, Pictures, asked
from ipcir_steps.verify.judges import judged, open_judge


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rankings", type=InFile, nargs="+", required=True, help="lists of all variants (parquet)")
    parser.add_argument("--queries", type=InFile, required=True, help="queries.jsonl")
    parser.add_argument("--captions", type=InFile, required=True, help="target_captions.jsonl: query_id, captions")
    parser.add_argument("--gallery-images", type=InFile, required=True, help="gallery.jsonl")
    parser.add_argument("--references", type=InFile, required=True, help="references.jsonl")
    parser.add_argument("--root", type=Root, required=True, help="directory that image paths are relative to")
    parser.add_argument("--model", type=InFile, help="manifest or directory of the model that judges")
    parser.add_argument("--captioner", default="{}", metavar="JSON", help="captioner: settings of the captions step")
    parser.add_argument("--cache", type=Scratch, help="directory of judgements that were made before; default: none")
    parser.add_argument("--seed", type=int, default=0, help="run seed: the order of candidates in a grid")
    add_shards(parser, "queries", "JSON lines to write: query_id, judged, failed")
    add_settings(parser, Judging)


def servers(args: argparse.Namespace) -> list[str]:
    settings = read_settings(args.settings, Judging)
    return llm.servers(settings.chat) if settings.chats else []


def encloses(args: argparse.Namespace) -> bool:
    settings = read_settings(args.settings, Judging)
    return settings.chats and settings.chat.enclosed


def main(args: argparse.Namespace) -> None:
    settings = read_settings(args.settings, Judging)
    judge = open_judge(settings, args.model, read_settings(args.captioner, Captions))
    pictures = Pictures(args.root, [*read_images(args.references), *read_images(args.gallery_images)])
    cache = Cache(args.cache)
    lists = [read_rankings(path) for path in args.rankings]
    items = asked(read_queries(args.queries), read_captions(args.captions), lists, settings.k, args.seed)
    run_shards(
        items,
        lambda batch: [judged(item, judge, pictures, cache) for item in batch],
        args.shard,
        args.output,
        key="query_id",
        key_of=lambda item: item.query.query_id,
        context={"judge": judge.digest},
        content_of=lambda item: [*item.content(), _stamps(item, pictures)],
        reusable=lambda record: not record.get("failed"),
        title="verify",
    )


def _stamps(item: Asked, pictures: Pictures) -> list:
    return [stamp(pictures.path(name)) for name in (item.query.reference, *item.candidates)]
