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
    models = commands.add_parser("models", help="build the tiny checkpoints of the real classes")
    models.add_argument("--seed", type=int, required=True)
    models.add_argument("--output", type=Path, required=True, help="directory to write, one directory per model")
    models.add_argument("--weights", type=Path, help="directory of trained weights; default: those that are shipped")
    models.add_argument("--untrained", action="store_true", help="random weights")
    train = commands.add_parser("train", help="train one model from scratch, or go on with it")
    train.add_argument("name", help="clip, blip2, qwen, sd, elite, mappings, judge, grounding_dino or sam")
    train.add_argument("--seed", type=int, required=True)
    train.add_argument("--work", type=Path, required=True, help="directory of training pictures, states and curves")
    train.add_argument("--weights", type=Path, required=True, help="directory of weights to read and write")


def main(args: argparse.Namespace) -> None:
    if args.command == "world":
        from ipcir_steps.mini.export import export

        export(args.output, args.seed, args.queries, args.gallery)
    elif args.command == "models":
        from ipcir_steps.mini.models import SHIPPED, build

        build(args.output, args.seed, None if args.untrained else args.weights or SHIPPED)
    else:
        from ipcir_steps.mini.training import run

        run(args.name, args.work, args.weights, args.seed)
