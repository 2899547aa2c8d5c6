"""``ipcir costs``: operations of one image of each setting of a frontier, and the seconds that drawing it took."""

import argparse
import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from ipcir_steps.config.base import Identifier, Section
from ipcir_steps.config.frontier import CONFIGURED
from ipcir_steps.config.generation import Proxies
from ipcir_steps.core import paths
from ipcir_steps.core.arguments import OutFile, Root
from ipcir_steps.core.errors import InputError, IPCIRError
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.runtime.plan.benchmarks import column, made_by_last_run, record, where
from ipcir_steps.runtime.plan.work import Typical, Unknown


@dataclasses.dataclass(frozen=True)
class Source:
    """A model, as ``operations.Counts`` looks at it."""

    source: str


class Setting(Section):
    """One way to draw: models are {role: source}."""

    proxies: Proxies
    models: dict[str, str]


def operations(setting: Setting, typical: Typical | None = None, directory: Path = Path()) -> tuple[float | None, str]:
    """(of one image with a typical layout, in words), as ``ipcir plan`` counts them; None where they are not.

    directory: of the workflow, whose fetched models tell what they are made of.
    """
    from ipcir_steps.runtime.plan.operations import Counts

    here = fetched(directory)
    models = {role: Source(here.get(source, source)) for role, source in setting.models.items()}
    try:
        works = Counts(_Configuration(setting.proxies, models), typical).proxies()
    except Unknown as unknown:
        return None, str(unknown)
    return sum(work.operations for work in works), "counted"


def fetched(directory: Path) -> dict[str, str]:
    """{hub id: where it lies} of the models that were fetched for a workflow, whichever role they play."""
    found = {}
    for path in sorted((directory / paths.MANIFESTS).rglob("*.json")):
        with contextlib.suppress(IPCIRError, KeyError, TypeError):
            manifest = read_json(path)
            found[manifest["source"]] = str(directory / manifest["path"])
    return {source: place for source, place in found.items() if Path(place).is_dir()}


@dataclasses.dataclass(frozen=True)
class _Configuration:
    proxies: Proxies
    models: dict[str, Source]
    stack_name: str = ""  # whose manifests tell the sizes of models that are not there yet


def seconds(directory: Path, dataset: str, split: str, name: str, setting: Setting) -> dict:
    """{"seconds", "processor": of one image, "images", "where"} of the jobs that have drawn a setting; loading the
    model and starting included. Empty where nothing was measured."""
    known = {"dataset": dataset, "split": split}
    if name == CONFIGURED:
        template, times, known = paths.SHARD, paths.DEVICE_TIMES, {**known, "step": "proxies"}
    else:
        template, times, known = paths.DRAWN_SHARD, paths.DRAWN_TIMES, {**known, "setting": name}
    jobs: dict[Path, list[Path]] = {}
    for shard, values in paths.found(template, directory, **known):
        jobs.setdefault(directory / times.format(**values), []).append(shard)
    sums, images, places = {"seconds": 0.0, "processor": 0.0}, 0, set()
    for benchmark, made in jobs.items():
        spent = column(benchmark, "s"), column(benchmark, "cpu_time")
        queries = sum(made_by_last_run(shard) or 0 for shard in made)
        if None in spent or not queries:
            continue
        images += queries * setting.proxies.count
        sums = {key: sums[key] + value for key, value in zip(sums, spent, strict=True)}
        places.add(where(record(directory, made[0])))
    if not images:
        return {}
    return {key: value / images for key, value in sums.items()} | {"images": images, "where": ", ".join(sorted(places))}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", required=True, help="name of the dataset that was drawn")
    parser.add_argument("--split", required=True, help="its split")
    parser.add_argument(
        "--settings", required=True, metavar="JSON",
        help="{setting: {proxies: the whole section, models: {role: source}}}; `configured` is the stack's own",
    )  # fmt: skip
    parser.add_argument("--directory", type=Root, default=".", help="of the workflow that has drawn them")
    parser.add_argument("--output", required=True, type=OutFile, help="JSON file to write")


def read(text: str) -> Mapping[str, Setting]:
    """Raises InputError for what is no JSON of settings."""
    import pydantic

    try:
        return pydantic.TypeAdapter(dict[Identifier, Setting]).validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InputError(first["msg"], file="--settings", field=".".join(map(str, first["loc"]))) from error


def main(args: argparse.Namespace) -> None:
    found = {}
    for name, setting in read(args.settings).items():
        counted, how = operations(setting, directory=args.directory)
        measured = seconds(args.directory, args.dataset, args.split, name, setting)
        found[name] = {"operations": counted, "how": how, **measured}
    write_json(args.output, {"dataset": args.dataset, "split": args.split, "settings": found})
