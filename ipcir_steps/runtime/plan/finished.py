"""Where finished jobs of each step are: (benchmark file, outputs, items), as ``benchmarks.speed`` takes them."""

import importlib.util
import json
from pathlib import Path

from ipcir_steps.core import paths
from ipcir_steps.runtime.plan.architectures import find


def shards(directory: Path, step: str):
    """One job for the shards of each device."""
    jobs: dict[Path, list[Path]] = {}
    for shard, values in paths.found(paths.SHARD, directory, step=step):
        jobs.setdefault(directory / paths.DEVICE_TIMES.format(**values), []).append(shard)
    for benchmark, made in jobs.items():
        yield benchmark, made, None


def drawn(directory: Path, generator: str) -> tuple[int, int]:
    """(images, bytes) of the proxies that this generator has drawn."""
    sizes = [path.stat().st_size for path in (directory / "results").glob(f"*/*/proxies/{generator}/*/*.png")]
    return len(sizes), sum(sizes)


def splits(directory: Path):
    for path in sorted((directory / "results").glob("*/*/queries.jsonl")):
        dataset, split = path.parts[-3:-1]
        yield path.parent, directory / "benchmarks/results" / dataset / split


def lines(path: Path) -> int:
    try:
        with open(path, "rb") as file:
            return sum(1 for _ in file)
    except OSError:
        return 0


def features(directory: Path, backbone: str, name: str):
    """Jobs that encoded something; items are what was encoded, as in the plan."""
    for split, benchmarks in splits(directory):
        output = split / backbone / f"{name}.safetensors"
        if not output.is_file():
            continue
        found = shape(output)
        per_query = found[1] if len(found) == 3 else 1
        items = found[0] * per_query
        if name in ("references", "source_captions"):
            items = lines(split / "references.jsonl") * per_query
        yield benchmarks / backbone / f"{name}.tsv", [output], items


def baselines(directory: Path, backbone: str, baseline: str):
    for split, benchmarks in splits(directory):
        output = split / backbone / baseline / "text.safetensors"
        yield benchmarks / backbone / baseline / "baseline.tsv", [output], lines(split / "queries.jsonl")


def rankings(directory: Path, backbone: str):
    for split, benchmarks in splits(directory):
        for output in sorted((split / backbone).glob("*/base.rankings.parquet")):
            benchmark = benchmarks / backbone / output.parent.name / "ranking.tsv"
            yield benchmark, [output], lines(split / "queries.jsonl")


def shape(path: Path) -> list[int]:
    with open(path, "rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))["features"]["shape"]


def width(directory: Path, backbone: str, source: str) -> int | None:
    """Dimensions of a backbone's features: of a file made with it, else of its architecture."""
    for path in sorted((directory / "results").glob(f"*/*/{backbone}/*.safetensors")):
        return shape(path)[-1]
    known = find("clip", source)
    if known is not None:
        return known.parts["model"]["embed_dim"]
    package = importlib.util.find_spec("open_clip")
    for place in package.submodule_search_locations if package else ():
        config = Path(place) / "model_configs" / f"{backbone}.json"
        if config.is_file():
            return json.loads(config.read_text(encoding="utf-8"))["embed_dim"]
    return None
