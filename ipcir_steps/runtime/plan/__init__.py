"""What a configuration will cost, before anything runs: queries, images, GPU-hours and disk, step by step.

Counts come from the annotations. Times and sizes come from jobs that have already run with the same models and
settings, such as those of a few queries in a folder; a step without any is named, never guessed.
"""

import argparse
import dataclasses
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

from ipcir_steps.config import Config, Resolved
from ipcir_steps.config.generation import generator_of
from ipcir_steps.config.read import read_config
from ipcir_steps.core.arguments import Directory, InFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.runtime.plan.benchmarks import Speed, speed


@dataclasses.dataclass(frozen=True)
class Step:
    """One line of the plan. items: how many; disk: bytes, None where it is not known; bound: it is less than that."""

    name: str
    items: int
    unit: str
    speed: Speed | None
    disk: float | None
    gpu: bool = True
    bound: bool = False

    @property
    def hours(self) -> float | None:
        return self.items * self.speed.per_item / 3600 if self.speed else None


@dataclasses.dataclass(frozen=True)
class Counts:
    """queries, unique reference images, gallery images of one split."""

    queries: int
    references: int
    gallery: int


def configured(files: list[Path]) -> Config:
    """``config.yaml`` (when it is here) with the files merged over it, as Snakemake does with --configfile."""
    here = Path("config.yaml")
    return read_config([*([here] if here.is_file() else []), *files])


def count(config: Config, dataset: str) -> Counts:
    """From the annotations alone; no image is opened."""
    from ipcir_steps.benchmarks.datasets import load

    settings = config.datasets[dataset]
    split = load(settings, settings.split)
    return Counts(len(split.queries), len(split.references), len(split.gallery))


def steps(config: Resolved, counts: Counts, directory: Path) -> Iterator[Step]:
    """Every step of one dataset, in the order in which they run."""
    generator = config.proxies.generator.replace(":", ".")
    sharded = [
        ("captions", counts.references, "images", ["captioner"]),
        ("reasoning", counts.queries, "queries", ["llm"]),
        ("layouts", counts.queries, "queries", ["llm"]),
        ("masks", counts.queries, "queries", ["detector", "segmenter"]),
        ("proxies", counts.queries * config.proxies.count, "images", generator_of(config.proxies).roles),
    ]
    unused = generator_of(config.proxies).unused
    for name, items, unit, roles in sharded:
        if name in unused:
            continue
        section = getattr(config, name)
        local = getattr(section, "backend", "transformers") == "transformers"
        sources = [config.models[role].source for role in roles] if local else []
        # Proxies are counted one by one, so their number per query may differ.
        settings = section.model_dump(mode="json", exclude={"count"} if name == "proxies" else set())
        found = speed(directory, _shards(directory, name), settings, sources)
        if name != "proxies":
            yield Step(name, items, unit, found, items * found.bytes_per_item if found else None)
            continue
        drawn, size = _drawn(directory, generator) if found else (0, 0)
        if found:  # a record is a query with several images
            jobs = (dataclasses.replace(job, items=job.items * section.count) for job in found.jobs)
            found = Speed(tuple(jobs))
        raw = section.width * section.height * 3  # a PNG is hardly larger than its pixels
        yield Step(name, items, unit, found, items * (size / drawn if drawn else raw), bound=not drawn)
    for backbone in config.backbones:
        yield from _backbone(config, counts, directory, backbone)


def _shards(directory: Path, step: str):
    for shard in sorted((directory / "results").glob(f"*/*/shards/{step}/*.jsonl")):
        dataset, split = shard.relative_to(directory / "results").parts[:2]
        yield directory / "benchmarks/results" / dataset / split / step / f"{shard.stem}.tsv", shard, None


def _drawn(directory: Path, generator: str) -> tuple[int, int]:
    """(images, bytes) of the proxies that this generator has drawn."""
    sizes = [path.stat().st_size for path in (directory / "results").glob(f"*/*/proxies/{generator}/*/*.png")]
    return len(sizes), sum(sizes)


def _backbone(config: Resolved, counts: Counts, directory: Path, backbone: str) -> Iterator[Step]:
    captions, proxies = config.captions.count, config.proxies.count
    rows = {
        "gallery": (counts.gallery, "images"),
        "references": (counts.references, "images"),
        "source_captions": (counts.references * captions, "texts"),
        "target_captions": (counts.queries * captions, "texts"),
        "proxies": (counts.queries * proxies, "images"),
    }
    source = config.clip[backbone].source
    architecture = config.clip[backbone].architecture or config.embeddings.architecture
    settings = {**config.embeddings.model_dump(mode="json"), "architecture": architecture}
    width = _width(directory, backbone)
    for name, (items, unit) in rows.items():
        found = speed(directory, _features(directory, backbone, name), settings, [source])
        stored = counts.queries if name == "references" else items  # one row per query, whoever shares the image
        stored = counts.queries * captions if name == "source_captions" else stored
        yield Step(f"{backbone}: {name}", items, unit, found, stored * width * 4 if width else None)
    for baseline in config.baselines:
        own = getattr(config, baseline, None)
        settings = own.model_dump(mode="json") if own is not None and baseline not in config.custom_baselines else None
        found = speed(directory, _baselines(directory, backbone, baseline), settings, [source])
        disk = counts.queries * width * 4 if width else None
        yield Step(f"{backbone}: {baseline}", counts.queries, "queries", found, disk)
    fused = counts.queries * width * 4 * 4 if width else None
    found = speed(directory, _rankings(directory, backbone), None, [])
    yield Step(f"{backbone}: fusion and ranking", counts.queries, "queries", found, fused, gpu=False)


def _splits(directory: Path):
    for path in sorted((directory / "results").glob("*/*/queries.jsonl")):
        dataset, split = path.parts[-3:-1]
        yield path.parent, directory / "benchmarks/results" / dataset / split


def _lines(path: Path) -> int:
    try:
        with open(path, "rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0


def _features(directory: Path, backbone: str, name: str):
    """Jobs that encoded something; items are what was encoded, as in the plan."""
    for split, benchmarks in _splits(directory):
        output = split / backbone / f"{name}.safetensors"
        if not output.is_file():
            continue
        shape = _shape(output)
        per_query = shape[1] if len(shape) == 3 else 1
        items = shape[0] * per_query
        if name in ("references", "source_captions"):
            items = _lines(split / "references.jsonl") * per_query
        yield benchmarks / backbone / f"{name}.tsv", output, items


def _baselines(directory: Path, backbone: str, baseline: str):
    for split, benchmarks in _splits(directory):
        output = split / backbone / baseline / "text.safetensors"
        yield benchmarks / backbone / baseline / "baseline.tsv", output, _lines(split / "queries.jsonl")


def _rankings(directory: Path, backbone: str):
    for split, benchmarks in _splits(directory):
        for output in sorted((split / backbone).glob("*/base.rankings.parquet")):
            benchmark = benchmarks / backbone / output.parent.name / "ranking.tsv"
            yield benchmark, output, _lines(split / "queries.jsonl")


def _shape(path: Path) -> list[int]:
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))["features"]["shape"]


def _width(directory: Path, backbone: str) -> int | None:
    """Dimensions of a backbone's features: of a file made with it, else of the open_clip architecture of that name."""
    for path in sorted((directory / "results").glob(f"*/*/{backbone}/*.safetensors")):
        return _shape(path)[-1]
    package = importlib.util.find_spec("open_clip")
    for place in package.submodule_search_locations if package else ():
        config = Path(place) / "model_configs" / f"{backbone}.json"
        if config.is_file():
            return json.loads(config.read_text(encoding="utf-8"))["embed_dim"]
    return None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=InFile, nargs="*", help="configuration files, as for --configfile")
    parser.add_argument("--dataset", action="append", help="dataset to plan (default: those of `run`); repeatable")
    parser.add_argument(
        "--benchmarks", type=Directory, default=".", help="directory of a workflow that has run (default: this one)"
    )


def main(args: argparse.Namespace) -> int:
    from ipcir_steps.runtime.plan import report

    config, unreadable = configured(args.config), 0
    for dataset in args.dataset or config.run:
        if dataset not in config.datasets:
            raise InputError(f"there is no dataset {dataset!r}", field="--dataset")
        try:
            counts = count(config, dataset)
        except InputError as error:
            print(f"{dataset}: cannot be planned: {error}\n")
            unreadable += 1
            continue
        settings = config.resolved(dataset)
        images = counts.queries * settings.proxies.count
        print(report.table(dataset, counts, list(steps(settings, counts, args.benchmarks)), images), end="\n\n")
    return 1 if unreadable else 0
