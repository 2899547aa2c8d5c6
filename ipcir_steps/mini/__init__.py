"""The mini world: rendered datasets in the official layouts, and tiny checkpoints of the real model classes."""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    world = commands.add_parser("world", help="render mini_cirr, mini_circo and mini_fashioniq")
    world.add_argument("--seed", type=int, required=True)
    world.add_argument("--output", type=Path, required=True, help="directory to write")
    world.add_argument("--queries", type=int, default=40, help="queries of each val part (test parts: a quarter)")
    world.add_argument("--gallery", type=int, default=300, help="images of each val part")
    models = commands.add_parser("models", help="build tiny untrained checkpoints")
    models.add_argument("--seed", type=int, required=True)
    models.add_argument("--output", type=Path, required=True, help="directory to write, one directory per model")


def main(args: argparse.Namespace) -> None:
    if args.command == "world":
        from ipcir_steps.mini.export import export

        export(args.output, args.seed, args.queries, args.gallery)
    else:
        from ipcir_steps.mini.models import build

        build(args.output, args.seed)
