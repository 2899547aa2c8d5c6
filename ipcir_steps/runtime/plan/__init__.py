"""What a configuration will cost, before anything runs: GPU hours, download, disk and memory, step by step.

Counts come from the annotations. Times come from jobs that have already run with the same models and settings; where
there are none, from the operations of the models, counted on the meta device, and a table of devices. Each figure says
which.
"""

import argparse
from pathlib import Path

from ipcir_steps.config import Config
from ipcir_steps.config.read import read_config
from ipcir_steps.core.arguments import Directory, InFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.runtime.plan.machines import DEFAULT, MACHINES, here
from ipcir_steps.runtime.plan.steps import Counts, steps


def configured(files: list[Path]) -> Config:
    """``config.yaml`` (when it is here) with the files merged over it, as Snakemake does with --configfile."""
    present = Path("config.yaml")
    return read_config([*([present] if present.is_file() else []), *files])


def count(config: Config, dataset: str) -> Counts:
    """From the annotations alone; no image is opened."""
    from ipcir_steps.benchmarks.datasets import load

    settings = config.datasets[dataset]
    split = load(settings, settings.split)
    return Counts(len(split.queries), len(split.references), len(split.gallery))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=InFile, nargs="*", help="configuration files, as for --configfile")
    parser.add_argument("--dataset", action="append", help="dataset to plan (default: those of `run`); repeatable")
    parser.add_argument("--stack", help="plan under this stack in place of the dataset's own")
    parser.add_argument(
        "--device",
        choices=sorted(MACHINES),
        help=f"device to plan for (default: this machine's, or {MACHINES[DEFAULT].title})",
    )
    parser.add_argument(
        "--benchmarks", type=Directory, default=".", help="directory of a workflow that has run (default: this one)"
    )


def main(args: argparse.Namespace) -> int:
    from ipcir_steps.runtime.plan import report

    config, unreadable = configured(args.config), 0
    machine = MACHINES[args.device or here()]
    for dataset in args.dataset or config.run:
        if dataset not in config.datasets:
            raise InputError(f"there is no dataset {dataset!r}", field="--dataset")
        try:
            counts = count(config, dataset)
        except InputError as error:
            print(f"{dataset}: cannot be planned: {error}\n")
            unreadable += 1
            continue
        settings = config.with_stack(args.stack) if args.stack else config.resolved(dataset)
        planned = list(steps(settings, counts, args.benchmarks, "cpu" if machine.name == "core" else "cuda"))
        print(report.text(dataset, settings, counts, planned, machine), end="\n\n")
    return 1 if unreadable else 0
