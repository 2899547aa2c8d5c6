"""The mini world: rendered datasets in the official layouts, and tiny checkpoints of the real model classes."""

import argparse

from ipcir_steps.core.arguments import Directory, InFile, OutFile, OutTree, Scratch

DATASETS = ("cirr", "circo", "fashioniq", "twins")


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    world = commands.add_parser("world", help="render mini_cirr, mini_circo, mini_fashioniq, mini_twins")
    world.add_argument("--seed", type=int, required=True, help="the same seed renders the same world")
    world.add_argument("--output", type=OutTree, required=True, help="directory to write")
    world.add_argument("--queries", type=int, default=40, help="queries of each val part; a test part has a quarter")
    world.add_argument("--gallery", type=int, default=300, help="images of each val part")
    world.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS[:3], help="default: the first three")
    models = commands.add_parser("models", help="build the tiny checkpoints of the real classes")
    models.add_argument("--seed", type=int, required=True, help="seed of what is not in the shipped weights")
    models.add_argument("--output", type=OutTree, required=True, help="directory to write, one directory per model")
    models.add_argument("--weights", type=InFile, help="directory of trained weights; default: the shipped ones")
    models.add_argument("--untrained", action="store_true", help="random weights")
    pool = commands.add_parser("pool", help="render the pictures that all training runs share")
    pool.add_argument("--seed", type=int, required=True, help="the seed of the training runs")
    pool.add_argument("--output", type=OutFile, required=True, help="pool.npy in train's --work directory")
    evaluate = commands.add_parser("evaluate", help="measure every model on pictures that no training run has seen")
    evaluate.add_argument("--models", type=InFile, required=True, help="directory that `ipcir mini models` wrote")
    evaluate.add_argument("--seed", type=int, required=True, help="the seed of the training runs")
    evaluate.add_argument("--output", type=OutFile, required=True, help="figures to write (JSON)")
    check = commands.add_parser("check", help="compare a result file with a recorded one: did any metric drop?")
    check.add_argument("--results", type=InFile, required=True, help="result file of a dataset")
    check.add_argument("--reference", type=InFile, help="recorded values and their noise; default: the test world's")
    check.add_argument("--record", action="store_true", help="record these results as the new reference")
    curves = commands.add_parser("curves", help="draw the learning curves")
    curves.add_argument("--weights", type=InFile, help="directory of *.curve.jsonl; default: the shipped ones")
    curves.add_argument("--svg", type=OutFile, required=True, help="vector figure to write")
    curves.add_argument("--png", type=OutFile, required=True, help="raster figure to write")
    train = commands.add_parser("train", help="train one model from scratch, or resume")
    train.add_argument("name", help="clip, blip2, qwen, sd, elite, lcm, mappings, judge, grounding_dino or sam")
    train.add_argument("--seed", type=int, required=True, help="seed of the data and of the first weights")
    train.add_argument("--work", type=Scratch, required=True, help="directory of training pictures, states and curves")
    train.add_argument("--weights", type=Directory, required=True, help="directory of weights to read and write")


def main(args: argparse.Namespace) -> None:
    if args.command == "world":
        from mini_world.export import export

        export(args.output, args.seed, args.queries, args.gallery, args.datasets)
    elif args.command == "pool":
        from mini_world.training.pool import rendered

        rendered(args.seed, args.output)
    elif args.command == "models":
        from mini_world.models import build
        from mini_world.shipped import SHIPPED

        build(args.output, args.seed, None if args.untrained else args.weights or SHIPPED)
    elif args.command == "evaluate":
        from ipcir_steps.core.files import write_json
        from mini_world.training import evaluate

        write_json(args.output, evaluate(args.models, args.seed))
    elif args.command == "curves":
        from mini_world.card import curves
        from mini_world.shipped import SHIPPED

        curves(args.weights or SHIPPED, args.svg, args.png)
    elif args.command == "check":
        from mini_world.guard import RECORDED, check, record

        (record if args.record else check)(args.results, args.reference or RECORDED)
    else:
        from mini_world.training import run

        run(args.name, args.work, args.weights, args.seed)
