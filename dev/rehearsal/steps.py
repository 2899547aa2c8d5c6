"""The commands, in the order of the workflow, with the models that each one reads."""

import dataclasses
import json
import shlex
from collections.abc import Iterator

from dev.rehearsal.settings import BACKBONES, SPLIT, manifest
from ipcir_steps.config import Config, Resolved, canonical, section_json

QUERIES = f"--queries {SPLIT}/queries.jsonl"
REFERENCES = f"--references {SPLIT}/references.jsonl --root photos"
# Without a model; with the text tower; forwards and backwards through it.
BASELINES = ("ldre", "image_text", "searle_oti")
ELITE = ("elite_global", "elite_local", "vision")


@dataclasses.dataclass(frozen=True)
class Step:
    """name: of the step, or of the backbone and the step; models: what has to be on disk; output: what it writes.

    rule: of the workflow; planned: the step of the plan whose memory the rule asks for, None where it is the same for
    every configuration; backbone and baseline: whose.
    """

    name: str
    rule: str
    words: str
    models: tuple[str, ...]
    output: str
    settings: str | None = None
    planned: str | None = None
    backbone: str | None = None
    baseline: str | None = None

    @property
    def argv(self) -> list[str]:
        words = shlex.split(self.words)
        named = {"--output-dir", "--svg", "--markdown"} & set(words)
        words += [] if named else ["--output", self.output]
        return words + (["--settings", self.settings] if self.settings else [])


def steps(everything: Config) -> Iterator[Step]:
    config = everything.resolved("rehearsal")
    source = canonical(everything.datasets["rehearsal"].source.model_dump(mode="json"))
    yield Step("datasets", "dataset", "datasets --split val", (), SPLIT, source)
    words = f"captions {REFERENCES} --model {manifest('captioner')}"
    yield sharded(config, "captions", words, ("captioner",))
    yield gather("captions", "reference", "source_captions")
    for name, gathered in (("reasoning", "target_captions"), ("layouts", "layouts")):
        words = f"{name} {QUERIES} --captions {SPLIT}/source_captions.jsonl --model {manifest('llm')}"
        yield sharded(config, name, words, ("llm",))
        yield gather(name, "query_id", gathered)
    words = f"masks {QUERIES} --layouts stand_in.jsonl {REFERENCES}"
    words += f" --detector {manifest('detector')} --segmenter {manifest('segmenter')}"
    yield sharded(config, "masks", words, ("detector", "segmenter"))
    yield gather("masks", "query_id", "reference_masks")
    for migc in ("migc", "migc_plus"):
        yield proxies(config, migc)
    for backbone in BACKBONES:
        yield from features(config, backbone)
        yield from lists(config, backbone)


def sharded(config: Resolved, name: str, words: str, models: tuple[str, ...]) -> Step:
    output = f"{SPLIT}/shards/{name}/0-0.jsonl"
    return Step(name, name, words, models, output, section_json(config, name), planned=name)


def gather(step: str, key: str, gathered: str) -> Step:
    words = f"gather {QUERIES} --key {key} --shards {SPLIT}/shards/{step}/0-0.jsonl"
    words += f" --failures {SPLIT}/{step}.failures.jsonl"
    return Step(f"gather {step}", "gather_captions", words, (), f"{SPLIT}/{gathered}.jsonl")


def proxies(config: Resolved, migc: str) -> Step:
    """migc: ``migc`` or ``migc_plus``."""
    models = ("generator", migc, *ELITE)
    words = f"proxies {QUERIES} --layouts stand_in.jsonl --masks {SPLIT}/reference_masks.jsonl {REFERENCES}"
    roles = {"generator": "generator", "migc": migc, **{role: role for role in ELITE}}
    words += f" --images {SPLIT}/proxies/{migc} --models "
    words += " ".join(f"{role}={manifest(name)}" for role, name in roles.items())
    name = "proxies" if migc == "migc" else "proxies (MIGC++)"
    output = f"{SPLIT}/proxies/{migc}/index.jsonl"
    return Step(name, "proxies", words, models, output, section_json(config, "proxies"), planned="proxies")


def features(config: Resolved, backbone: str) -> Iterator[Step]:
    settings = section_json(config, "embeddings")
    for name, words in (
        ("gallery", f"images --images {SPLIT}/gallery.jsonl --root photos"),
        ("references", f"images --images {SPLIT}/references.jsonl --root photos {QUERIES}"),
        ("source_captions", f"captions --captions {SPLIT}/source_captions.jsonl {QUERIES}"),
        ("target_captions", f"captions --captions {SPLIT}/target_captions.jsonl {QUERIES}"),
        ("proxies", f"proxies --index {SPLIT}/proxies/migc/index.jsonl {QUERIES} --images {SPLIT}/proxies/migc"),
    ):
        words = f"embeddings {words} --model {manifest(backbone)}"
        planned = "text_features" if "captions" in name else "image_features"
        output, of = f"{SPLIT}/{backbone}/{name}.safetensors", {"planned": planned, "backbone": backbone}
        yield Step(f"{backbone}: {name}", f"{name}_features", words, (backbone,), output, settings, **of)


def lists(config: Resolved, backbone: str) -> Iterator[Step]:
    """Text side, robust proxy, lists, metrics."""
    one = f"{SPLIT}/{backbone}"
    captions = (
        f"--target-captions {one}/target_captions.safetensors --source-captions {one}/source_captions.safetensors"
    )
    files = f"{captions} --references {one}/references.safetensors"
    for baseline in BASELINES:
        words = f"baselines {baseline} {QUERIES} --benchmark folder {files} --gallery {one}/gallery.safetensors"
        words += f" --model {manifest(backbone)}"
        settings = section_json(config, baseline) if hasattr(config, baseline) else None
        of = {"planned": "baseline", "backbone": backbone, "baseline": baseline}
        output = f"{one}/{baseline}/text.safetensors"
        yield Step(f"{backbone}: {baseline}", "baseline", words, (backbone,), output, settings, **of)
    fused = f"{one}/fusion/rp.safetensors"
    words = f"fusion --proxies {one}/proxies.safetensors {files} --variant rp"
    yield Step(f"{backbone}: fusion", "fusion", words, (), fused, section_json(config, "fusion"))
    ranked = f"{one}/ldre/rp_bm.rankings.parquet"
    words = f"ranking --text {one}/ldre/text.safetensors --gallery {one}/gallery.safetensors {QUERIES} --fusion {fused}"
    words += f" --variants rp_bm --gallery-images {SPLIT}/gallery.jsonl --lambda 0.3 --output-dir {one}/ldre"
    yield Step(f"{backbone}: ranking", "ranking", words, (), ranked, section_json(config, "ranking"))
    words = f"metrics --rankings {ranked} {QUERIES} --benchmark folder"
    yield Step(f"{backbone}: metrics", "metrics", words, (), f"{one}/ldre/rp_bm.metrics.json")


def stand_in(layout: dict, query_id: str = "1") -> str:
    """layouts.jsonl for the one query."""
    return json.dumps({"query_id": query_id, **layout}) + "\n"
