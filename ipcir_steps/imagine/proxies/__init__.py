"""Draw proxy images from layouts: generators behind one interface, MIGC with ELITE as published among them."""

import argparse
import importlib

from ipcir_steps.config.generation import GENERATORS, Proxies, generator_of
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.arguments import ImageList, InFile, OutImageList, OutImages, RoleFile, Root
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.core.shards import add_shards

# The building blocks, importable from here; loaded on first use, because they bring torch and diffusers.
BLOCKS = {
    **dict.fromkeys(("MIGC", "MIGCPlus", "NaiveFuser"), "migc"),
    **dict.fromkeys(("MIGCProcessor", "Plan", "Stage"), "processors"),
    **dict.fromkeys(("load_migc", "install"), "checkpoints"),
    **dict.fromkeys(("GlobalMapper", "LocalMapper", "load_elite"), "elite"),
    **dict.fromkeys(("LayoutPipeline", "Item"), "pipeline"),
}


def __getattr__(name: str):
    if name not in BLOCKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{BLOCKS[name]}"), name)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", type=InFile, required=True, help="queries.jsonl")
    parser.add_argument("--layouts", type=InFile, help="layouts.jsonl (generators that draw layouts)")
    parser.add_argument("--masks", type=InFile, help="reference_masks.jsonl; without it whole references are used")
    parser.add_argument("--captions", type=InFile, help="target_captions.jsonl, where image n is drawn from caption n")
    parser.add_argument("--references", type=ImageList, help="references.jsonl")
    parser.add_argument("--root", type=Root, help="directory that the references' paths are relative to")
    drawn = [(name, card) for name, card in GENERATORS.items() if card.roles]
    parser.add_argument(
        "--models", type=RoleFile.parse, nargs="+", default=[], metavar="ROLE=FILE",
        help="manifest, directory or file of the model that plays each role of the generator: "
        + "; ".join(f"{name}: {', '.join((*card.roles, *card.optional_roles))}" for name, card in drawn)
        + "; with redraws also detector",
    )  # fmt: skip
    parser.add_argument("--images", type=OutImages, required=True, help="directory for {query_id}/{n}.png")
    parser.add_argument(
        "--numbers", type=int, nargs="+", metavar="N", help="which images of each query to draw, from 0; by default all"
    )
    parser.add_argument("--seed", type=int, default=2025, help="seed of the run")
    add_shards(parser, "queries", "index to write (JSON lines)", OutImageList)
    add_settings(parser, Proxies)


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.core.records import read_queries
    from ipcir_steps.imagine.proxies.step import draw_proxies
    from ipcir_steps.imagine.proxies.tasks import Inputs

    settings = read_settings(args.settings, Proxies)
    card = generator_of(settings)
    if args.layouts is None and card.needs_layouts:
        raise InputError(f"is needed by generator {settings.generator}", field="--layouts")
    if args.captions is None and card.needs_captions:
        raise InputError(f"is needed by generator {settings.generator}, which draws them", field="--captions")
    draw_proxies(
        read_queries(args.queries),
        Inputs(
            args.layouts,
            args.masks,
            args.references,
            args.root,
            args.captions if card.needs_captions else None,
        ),
        settings,
        {given.role: load_manifest(given) for given in args.models},
        numbers=args.numbers,
        directory=args.images,
        outputs=args.output,
        shards=args.shard,
        run_seed=args.seed,
    )
