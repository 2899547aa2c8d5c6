"""Queries with all that was made for them: captions, layout, proxies, and the lists of each variant."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.core.arguments import InFile, Root
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import inside, read_jsonl
from ipcir_steps.core.marks import add_mark
from ipcir_steps.core.rankings import read_rankings
from ipcir_steps.core.records import Query, read_images, read_queries
from ipcir_steps.variants import BASE, METHOD


@dataclasses.dataclass(frozen=True)
class Example:
    """One query. lists: {variant: image names, best first}; proxies: image files; stopped: why there are no more
    of them, where they were drawn one after another; failure: why a step gave up."""

    query: Query
    lists: dict[str, list[str]]
    source_captions: tuple[str, ...] = ()
    target_captions: tuple[str, ...] = ()
    layout: dict | None = None
    proxies: tuple[Path, ...] = ()
    failure: str | None = None
    stopped: str | None = None

    def rank(self, variant: str) -> int | None:
        """1-based rank of the best target in the variant's list; None when none of them is in it."""
        targets = set(self.query.targets or ())
        return next((n for n, name in enumerate(self.lists.get(variant, ()), 1) if name in targets), None)

    def gain(self, better: str = METHOD, than: str = BASE) -> float:
        """How much higher ``better`` puts the target: difference of reciprocal ranks, in [-1, 1]."""
        ranks = self.rank(better), self.rank(than)
        return (1 / ranks[0] if ranks[0] else 0) - (1 / ranks[1] if ranks[1] else 0)


@dataclasses.dataclass(frozen=True)
class Collection:
    """All queries of a split, and where the pictures of references and gallery lie."""

    examples: list[Example]
    paths: dict[str, Path]


FILES = {
    "queries": "queries.jsonl",
    "gallery_images": "gallery.jsonl",
    "references": "references.jsonl",
    "source_captions": "source_captions.jsonl",
    "target_captions": "target_captions.jsonl",
    "layouts": "layouts.jsonl",
    "index": "index.jsonl of the proxies",
    "failures": "failures.jsonl",
}


def add_arguments(parser) -> None:
    for name, text in FILES.items():
        required = name != "layouts"  # a generator may draw without
        parser.add_argument(f"--{name.replace('_', '-')}", type=InFile, required=required, help=text)
    add_mark(parser)
    parser.add_argument("--root", type=Root, required=True, help="directory that image paths are relative to")
    parser.add_argument("--proxy-images", type=Root, required=True, help="directory of the proxies' images")
    parser.add_argument("--rankings", type=InFile, nargs="+", required=True, help="VARIANT.rankings.parquet files")


def read(args) -> Collection:
    """Join the files of a split by query id. Raises InputError where a file is malformed."""
    records = {
        name: {record["query_id"]: record for record in read_jsonl(path)} if (path := getattr(args, name)) else {}
        for name in ("source_captions", "target_captions", "layouts", "index", "failures")
    }
    lists = {path.name.partition(".")[0]: read_rankings(path) for path in args.rankings}
    for variant in (BASE, METHOD):
        if variant not in lists:
            raise InputError(f"lacks {variant}.rankings.parquet", field="--rankings")
    examples = []
    for query in read_queries(args.queries):
        mine = {name: found.get(query.query_id, {}) for name, found in records.items()}
        failure = mine["failures"]
        names = mine["index"].get("images", ())
        proxies = [inside(args.proxy_images, name, file=args.index, record=query.query_id) for name in names]
        examples.append(
            Example(
                query,
                {variant: found.get(query.query_id, []) for variant, found in lists.items()},
                tuple(mine["source_captions"].get("captions", ())),
                tuple(mine["target_captions"].get("captions", ())),
                mine["layouts"] or None,
                tuple(proxies),
                f"{failure['step']}: {failure['failure']}" if failure else None,
                mine["index"].get("stopped"),
            )
        )
    paths = {}
    for name in ("references", "gallery_images"):
        for image in read_images(getattr(args, name)):
            paths[image.name] = inside(args.root, image.path, file=getattr(args, name), record=image.name)
    return Collection(examples, paths)


def won(examples: Sequence[Example], count: int) -> list[Example]:
    """The queries whose target IP-CIR lifts most, those that it puts first before others; ties by query id."""
    return sorted(examples, key=lambda e: (-e.gain(), e.query.query_id))[:count]


def lost(examples: Sequence[Example], count: int) -> list[Example]:
    """Of the queries without a target in IP-CIR's first place, those it lowers most, then those both miss longest."""
    missed = [e for e in examples if e.rank(METHOD) != 1]
    return sorted(missed, key=lambda e: (e.gain(), -(e.rank(METHOD) or 1 << 30), e.query.query_id))[:count]


def told(examples: Sequence[Example], count: int) -> list[Example]:
    """The queries where IP-CIR ends on a target that base misses, those with the most distinct first places first."""

    def distinct(example):
        return len({tuple(names[:1]) for names in example.lists.values()})

    turned = [e for e in examples if e.rank(METHOD) == 1 and e.rank(BASE) != 1]
    return sorted(turned, key=lambda e: (-distinct(e), -e.gain(), e.query.query_id))[:count]
