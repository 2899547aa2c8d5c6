"""The commands, in the order of the workflow, with the models that each one reads."""

import dataclasses
import json
import shlex
from collections.abc import Iterator

from dev.rehearsal.settings import BACKBONES, SPLIT, manifest
from ipcir_steps.config import Config, Resolved, canonical, section_json

QUERIES = f"--queries {SPLIT}/queries.jsonl"
REFERENCES = f"--references {SPLIT}/references.jsonl --root photos"
ELITE = ("elite_global", "elite_local", "vision")


@dataclasses.dataclass(frozen=True)
class Step:
    """name: of the step, or of the backbone and the step; models: what has to be on disk; output: what it writes."""

    name: str
    words: str
    models: tuple[str, ...]
    output: str
    settings: str | None = None

    @property
    def argv(self) -> list[str]:
        words = shlex.split(self.words)
        words += [] if "--output-dir" in words else ["--output", self.output]
        return words + (["--settings", self.settings] if self.settings else [])


def steps(everything: Config) -> Iterator[Step]:
    config = everything.resolved("rehearsal")
    source = canonical(everything.datasets["rehearsal"].source.model_dump(mode="json"))
    yield Step(
        "datasets",
        "datasets --split val",
        (),
        SPLIT,
        source,
    )
    captions = f"captions {REFERENCES} --model {manifest('captioner')}"
    yield Step(
        "captions", captions, ("captioner",), f"{SPLIT}/shards/captions/0-0.jsonl", section_json(config, "captions")
    )
    yield gather("captions", "reference", "source_captions")
    for name, gathered in (("reasoning", "target_captions"), ("layouts", "layouts")):
        words = f"{name} {QUERIES} --captions {SPLIT}/source_captions.jsonl --model {manifest('llm')}"
        yield Step(name, words, ("llm",), f"{SPLIT}/shards/{name}/0-0.jsonl", section_json(config, name))
        yield gather(name, "query_id", gathered)
    masks = f"masks {QUERIES} --layouts stand_in.jsonl {REFERENCES}"
    masks += f" --detector {manifest('detector')} --segmenter {manifest('segmenter')}"
    output = f"{SPLIT}/shards/masks/0-0.jsonl"
    yield Step("masks", masks, ("detector", "segmenter"), output, section_json(config, "masks"))
    yield gather("masks", "query_id", "reference_masks")
    for generator, migc in (("migc", "migc"), ("migc_plus", "migc_plus")):
        yield proxies(config, generator, migc)
    for backbone in BACKBONES:
        yield from backbone_steps(config, backbone)


def gather(step: str, key: str, gathered: str) -> Step:
    words = f"gather {QUERIES} --key {key} --shards {SPLIT}/shards/{step}/0-0.jsonl"
    words += f" --failures {SPLIT}/{step}.failures.jsonl"
    return Step(f"gather {step}", words, (), f"{SPLIT}/{gathered}.jsonl")


def proxies(config: Resolved, generator: str, migc: str) -> Step:
    models = ("generator", migc, *ELITE)
    words = f"proxies {QUERIES} --layouts stand_in.jsonl --masks {SPLIT}/reference_masks.jsonl {REFERENCES}"
    roles = {"generator": "generator", "migc": migc, **{role: role for role in ELITE}}
    words += f" --images {SPLIT}/proxies/{generator} --models "
    words += " ".join(f"{role}={manifest(name)}" for role, name in roles.items())
    output = f"{SPLIT}/proxies/{generator}/index.jsonl"
    name = "proxies" if generator == "migc" else "proxies (MIGC++)"
    return Step(name, words, models, output, section_json(config, "proxies"))


def backbone_steps(config: Resolved, backbone: str) -> Iterator[Step]:
    one, settings = f"{SPLIT}/{backbone}", section_json(config, "embeddings")
    for name, words in (
        ("gallery", f"images --images {SPLIT}/gallery.jsonl --root photos"),
        ("references", f"images --images {SPLIT}/references.jsonl --root photos {QUERIES}"),
        ("source_captions", f"captions --captions {SPLIT}/source_captions.jsonl {QUERIES}"),
        ("target_captions", f"captions --captions {SPLIT}/target_captions.jsonl {QUERIES}"),
        ("proxies", f"proxies --index {SPLIT}/proxies/migc/index.jsonl {QUERIES} --images {SPLIT}/proxies/migc"),
    ):
        words = f"embeddings {words} --model {manifest(backbone)}"
        yield Step(f"{backbone}: {name}", words, (backbone,), f"{one}/{name}.safetensors", settings)
    captions = (
        f"--target-captions {one}/target_captions.safetensors --source-captions {one}/source_captions.safetensors"
    )
    features = f"{captions} --references {one}/references.safetensors"
    words = f"baselines ldre {QUERIES} --benchmark folder {features} --gallery {one}/gallery.safetensors"
    words += f" --model {manifest(backbone)}"
    text = f"{one}/ldre/text.safetensors"
    yield Step(f"{backbone}: ldre", words, (backbone,), text, section_json(config, "ldre"))
    fused = f"{one}/fusion/rp.safetensors"
    words = f"fusion --proxies {one}/proxies.safetensors {features} --variant rp"
    yield Step(f"{backbone}: fusion", words, (), fused, section_json(config, "fusion"))
    lists = f"{one}/ldre/rp_bm.rankings.parquet"
    words = f"ranking --text {text} --gallery {one}/gallery.safetensors {QUERIES} --fusion {fused} --variants rp_bm"
    words += f" --gallery-images {SPLIT}/gallery.jsonl --lambda 0.3 --output-dir {one}/ldre"
    yield Step(f"{backbone}: ranking", words, (), lists, section_json(config, "ranking"))
    words = f"metrics --rankings {lists} {QUERIES} --benchmark folder"
    yield Step(f"{backbone}: metrics", words, (), f"{one}/ldre/rp_bm.metrics.json")


def stand_in(layout: dict, query_id: str = "1") -> str:
    """layouts.jsonl for the one query."""
    return json.dumps({"query_id": query_id, **layout}) + "\n"
