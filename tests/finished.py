"""A finished tree: every step of one small dataset, through the real commands and model classes, with its records."""

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ipcir_steps import cli, config
from ipcir_steps.config import taken
from ipcir_steps.evaluate.reporting.figures import cards
from ipcir_steps.variants import LADDER, PROXIES, VARIANTS

CONFIG = {
    "run": ["world"],
    "datasets": {
        "world": {
            "benchmark": "circo",
            "root": "world/mini_circo",
            "stack": "small",
            "toy_models": True,
            "exclude_reference": False,
            "lambda": 0.5,
        }
    },
    "stacks": {
        "small": {
            "extends": "mini",
            "toy": False,
            "models": {
                "captioner": {"source": "models/blip2"},
                "llm": {"source": "models/qwen"},
                "detector": {"source": "models/grounding_dino"},
                "segmenter": {"source": "models/sam"},
                "generator": {"source": "models/sd"},
            },
            "clip": {"mini": {"source": "models/clip"}},
            "captions": {"count": 2, "max_new_tokens": 6},
            "reasoning": {"max_new_tokens": 6},
            "layouts": {"max_new_tokens": 256, "max_instances": 2, "max_text": 24},
            "proxies": {"generator": "text_to_image", "count": 2, "steps": 2, "width": 64, "height": 64},
        }
    },
    "figures": {"examples": 3},
    "sensitivity": {"resamples": 50, "lambdas": [0.0, 0.5, 1.0], "proxy_weights": [0.0, 1.0]},
    "resamples": 50,
}
SPLIT, ONE, MANIFESTS = "results/world/val", "results/world/val/mini", "resources/manifests/small"
QUERIES = f"--queries {SPLIT}/queries.jsonl"
FEATURES = (
    f"--target-captions {ONE}/target_captions.safetensors --source-captions {ONE}/source_captions.safetensors"
    f" --references {ONE}/references.safetensors"
)
GALLERY = f"--gallery {ONE}/gallery.safetensors"
TEXT = f"--text {ONE}/ldre/text.safetensors {GALLERY} {QUERIES} --gallery-images {SPLIT}/gallery.jsonl"
LAMBDAS = ["datasets.world.tuned_on", "datasets.world.lambda", "datasets.world.exclude_reference"]
STEPS = ("datasets", "captions", "reasoning", "layouts", "masks", "proxies")


def finish(directory: Path) -> None:
    """Make the tree; the process is as before afterwards."""
    directory.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("IPCIR_PROVENANCE", "provenance")
        loaded = config.load_config(CONFIG)
        step = _stepper(patch, loaded)
        _models(step, loaded)
        _imagined(step)
        _sought(step)
        _evaluated(step, loaded)
        _drawn(step)


def _stepper(patch: pytest.MonkeyPatch, loaded: config.Config) -> Callable:
    """A function that runs a command as a rule of the workflow does."""
    Path("config.yaml").write_text(yaml.safe_dump(CONFIG))
    Path("analysis.sif").write_bytes(b"an image file")
    patch.setenv("APPTAINER_CONTAINER", os.path.abspath("analysis.sif"))
    patch.setenv("IPCIR_RUN", json.dumps({"configfiles": ["config.yaml"], "overrides": {}}))

    def step(rule, words, section=None, settings=None, takes=()):
        """takes: keys of the configuration, as the rule tells them, beside the section, the seed and the root."""
        patch.setenv("IPCIR_RULE", rule)
        own = [f"stack.{section}" if hasattr(loaded.stack_of("world"), section) else section] if section else []
        own += ["seed"] if "--seed" in words else []
        own += ["datasets.world.root"] if "--root" in words else []
        patch.setenv("IPCIR_CONFIG", json.dumps(taken.taken(loaded, [*takes, *own], dataset="world")))
        if section:
            settings = config.section_json(loaded.resolved("world"), section)
        arguments = shlex.split(words) + (["--settings", settings] if settings else [])
        assert cli.main(arguments) == 0, words

    return step


def failures(name: str) -> str:
    return f"{SPLIT}/{'proxies/text_to_image/' if name == 'proxies' else ''}{name}.failures.jsonl"


def _models(step: Callable, loaded: config.Config) -> None:
    step("mini_world", "mini world --seed 2025 --queries 6 --gallery 60 --datasets circo --output world")
    step("mini_models", "mini models --untrained --seed 2025 --output models")
    roles = {"captioner": "blip2", "llm": "qwen", "detector": "grounding_dino", "segmenter": "sam", "generator": "sd"}
    for role, name in [*roles.items(), ("clip/mini", "clip")]:
        made = f"--output resources/manifests/small/{role}.json"
        words = f"models --name {role.split('/')[-1]} --source models/{name} --directory unused {made}"
        step("model", words, takes=["stack.clip.mini" if "/" in role else f"stack.models.{role}"])
    source = loaded.datasets["world"].source
    keys = [f"datasets.world.{key}" for key in type(source).model_fields]
    settings = config.canonical(source.model_dump(mode="json"))
    step("dataset", f"datasets --split val --output {SPLIT}", settings=settings, takes=keys)


def _imagined(step: Callable) -> None:
    root = f"--references {SPLIT}/references.jsonl --root world/mini_circo"
    shards = f"{SPLIT}/shards"

    for name, words, gathered in (
        ("captions", f"{root} --model {MANIFESTS}/captioner.json", "source_captions"),
        (
            "reasoning",
            f"{QUERIES} --captions {SPLIT}/source_captions.jsonl --model {MANIFESTS}/llm.json --cache cache",
            "target_captions",
        ),
        (
            "layouts",
            f"{QUERIES} --captions {SPLIT}/source_captions.jsonl --model {MANIFESTS}/llm.json --cache cache",
            "layouts",
        ),
        (
            "masks",
            f"{QUERIES} --layouts {SPLIT}/layouts.jsonl {root} --detector {MANIFESTS}/detector.json"
            f" --segmenter {MANIFESTS}/segmenter.json --cache cache",
            "reference_masks",
        ),
        (
            "proxies",
            f"{QUERIES} --layouts {SPLIT}/layouts.jsonl --masks {SPLIT}/reference_masks.jsonl {root}"
            f" --models generator={MANIFESTS}/generator.json --images {SPLIT}/proxies/text_to_image",
            "proxies/text_to_image/index",
        ),
    ):
        step(name, f"{name} {words} --seed 2025 --output {shards}/{name}/0-0.jsonl", name)
        key = "reference" if name == "captions" else "query_id"
        outputs = f"--output {SPLIT}/{gathered}.jsonl --failures {failures(name)}"
        step(f"gather_{name}", f"gather {QUERIES} --key {key} --shards {shards}/{name}/0-0.jsonl {outputs}")


def _sought(step: Callable) -> None:
    clip = f"--model {MANIFESTS}/clip/mini.json"
    for name, words in (
        ("gallery", f"images --images {SPLIT}/gallery.jsonl --root world/mini_circo"),
        ("references", f"images --images {SPLIT}/references.jsonl --root world/mini_circo {QUERIES}"),
        ("source_captions", f"captions --captions {SPLIT}/source_captions.jsonl {QUERIES}"),
        ("target_captions", f"captions --captions {SPLIT}/target_captions.jsonl {QUERIES}"),
        ("proxies", f"proxies --index {SPLIT}/proxies/text_to_image/index.jsonl {QUERIES}"
                    f" --images {SPLIT}/proxies/text_to_image"),
    ):  # fmt: skip
        words = f"embeddings {words} {clip} --output {ONE}/{name}.safetensors"
        step(f"{name}_features", words, "embeddings", takes=["stack.clip.mini.architecture"])
    step(
        "baseline",
        f"baselines ldre {QUERIES} --benchmark circo {FEATURES} {GALLERY} {clip} --seed 2025"
        f" --output {ONE}/ldre/text.safetensors",
        "ldre",
    )
    for variant in PROXIES:
        words = f"fusion --proxies {ONE}/proxies.safetensors {FEATURES} --variant {variant} --seed 2025"
        step("fusion", f"{words} --output {ONE}/fusion/{variant}.safetensors", "fusion")
    fused = " ".join(f"{ONE}/fusion/{variant}.safetensors" for variant in PROXIES)
    words = f"ranking {TEXT} --fusion {fused} --variants {' '.join(VARIANTS)} --lambda 0.5 --output-dir {ONE}/ldre"
    step("ranking", words, "ranking", takes=LAMBDAS)


def _evaluated(step: Callable, loaded: config.Config) -> None:
    failed = " ".join(map(failures, STEPS))
    step("failures", f"failures {failed} --output {SPLIT}/failures.jsonl")
    for variant in VARIANTS:
        words = f"metrics --rankings {ONE}/ldre/{variant}.rankings.parquet {QUERIES} --benchmark circo"
        words = f"{words} --failures {SPLIT}/failures.jsonl --output {ONE}/ldre/{variant}.metrics.json"
        step("metrics", words, takes=["datasets.world.benchmark"])
    scored = " ".join(f"{ONE}/ldre/{variant}.metrics.json" for variant in VARIANTS)
    words = f"results --dataset world --metrics {scored} {QUERIES} --failures {SPLIT}/failures.jsonl"
    settings = json.dumps({"seed": 2025, "resamples": 50, "stack": loaded.identity("world")})
    takes = ["seed", "resamples", "stack"]
    step("results", f"{words} --output results/world_metrics.json", settings=settings, takes=takes)
    words = f"sensitivity {TEXT} {FEATURES} --proxies {ONE}/proxies.safetensors --benchmark circo"
    words = f"{words} --weights 1 1 1 --scale dataset --lambda 0.5 --seed 2025 --output {ONE}/ldre/sensitivity.json"
    step("sensitivity", words, "sensitivity", takes=["fusion", "datasets.world.benchmark", *LAMBDAS])


def _drawn(step: Callable) -> None:
    def pictures(name):
        return f"--svg results/figures/{name}.svg --png results/figures/{name}.png"

    result = "--results results/world_metrics.json"
    step("scores_figure", f"figures scores {result} {pictures('world')}")
    step("results_figure", f"figures controls {result} {pictures('controls')}")
    for name in cards.names("sweeps"):
        words = f"figures {name} --sensitivity {ONE}/ldre/sensitivity.json {pictures(name)}"
        step("sensitivity_figure", words)
    files = {"gallery_images": "gallery", "index": "proxies/text_to_image/index"}
    names = ("queries", "gallery_images", "references", "source_captions", "target_captions", "layouts", "index")
    options = [f"--{name.replace('_', '-')} {SPLIT}/{files.get(name, name)}.jsonl" for name in (*names, "failures")]
    lists = " ".join(f"{ONE}/ldre/{variant}.rankings.parquet" for variant in LADDER)
    options.append(f"--root world/mini_circo --proxy-images {SPLIT}/proxies/text_to_image --rankings {lists}")
    for name in cards.names("queries"):
        words = f"figures {name} --dataset world {' '.join(options)} {pictures(f'world/{name}')}"
        step("queries_figure", words, "figures")
    for number in (1, 2, 3):
        outputs = " ".join(
            f"--{kind} results/tables/table{number}.{end}"
            for kind, end in (("markdown", "md"), ("csv", "csv"), ("latex", "tex"))
        )
        step("tables", f"tables {result} --number {number} {outputs}")
    outputs = "--html results/tables/leaderboard.html --csv results/tables/leaderboard.csv"
    step("leaderboard", f"leaderboard {result} {outputs}")
    step("browser", f"browser --dataset world {' '.join(options)} --output results/browser/world", "figures")
