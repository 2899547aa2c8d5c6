"""Shared fixtures. Tests that need the published data skip when it is not beside the checkout."""

import os
import shutil
from pathlib import Path

import pytest

from ipcir_steps.variants import LADDER, PROXIES, VARIANTS

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["IPCIR_PROVENANCE"] = ""  # tests of records switch them on

pytest_plugins = ["tests.spread"]


def _published() -> Path | None:
    root = Path(os.environ.get("IPCIR_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
    return root if root.is_dir() else None


@pytest.fixture(scope="session")
def published() -> Path:
    """Directory of published annotations, layouts, masks and features."""
    root = _published()
    if root is None:
        pytest.skip("published data is absent (../shared/data, or set IPCIR_SHARED)")
    return root


@pytest.fixture(scope="session")
def every_rule(tmp_path_factory) -> dict:
    """{name: rule} as Snakemake reads the workflow, inherited rules and targets included."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import OutputSettings, Quietness, ResourceSettings

    directory = tmp_path_factory.mktemp("workflow")
    root = Path(__file__).resolve().parents[1]
    shutil.copy(root / "config.yaml", directory)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        loaded = api.workflow(ResourceSettings(), snakefile=root / "Snakefile", workdir=directory)
        return {rule.name: rule for rule in loaded._workflow.rules}


@pytest.fixture(scope="session")
def workflow_rules(every_rule) -> dict:
    """The same without targets, which run nothing."""
    return {name: rule for name, rule in every_rule.items() if not rule.norun}


@pytest.fixture(scope="session")
def llm(tmp_path_factory) -> Path:
    """Directory of the mini world's untrained chat model."""
    import torch

    from mini_world.models import qwen

    directory = tmp_path_factory.mktemp("chat") / "model"
    torch.manual_seed(0)
    qwen(directory)
    return directory


@pytest.fixture(scope="session")
def chromium():
    """A real browser."""
    import shutil

    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    with sync.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def clip_config() -> dict:
    """A CLIP small enough for tests, with CLIP's own tokenizer."""
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
    return {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}


@pytest.fixture(scope="session")
def clip_directory(tmp_path_factory, clip_config) -> Path:
    """Directory of an untrained CLIP in open_clip's own layout."""
    import json

    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("clip")
    config = {"model_cfg": clip_config, "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1]}}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    state = {key: value.contiguous() for key, value in CLIP(**clip_config).state_dict().items()}
    save_file(state, directory / "open_clip_model.safetensors")
    return directory


@pytest.fixture(scope="session")
def encoder(clip_directory):
    """The same model, loaded."""
    from ipcir_steps.seek.embeddings.clip import load_encoder

    return load_encoder(clip_directory)


@pytest.fixture(scope="session")
def trained_models(once) -> Path:
    """The mini world's checkpoints from the shipped weights (for reading)."""

    def make(directory):
        from mini_world.models import build
        from mini_world.shipped import SHIPPED

        build(directory, 1, SHIPPED)

    return once("trained_models", make)


@pytest.fixture(scope="session")
def finished(once) -> Path:
    """A finished tree with its records: every step of one small dataset through the real commands and model classes.

    Tests that change something in it work on a copy.
    """

    def make(directory):
        directory.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(directory)
            patch.setenv("IPCIR_PROVENANCE", "provenance")
            _every_step(patch)

    return once("finished", make)


def _every_step(patch) -> None:
    import json
    import shlex

    import yaml

    from ipcir_steps import cli, config
    from ipcir_steps.config import taken

    small = {
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
    Path("config.yaml").write_text(yaml.safe_dump(small))
    loaded = config.load_config(small)
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

    split, one = "results/world/val", "results/world/val/mini"
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
    step("dataset", f"datasets --split val --output {split}", settings=settings, takes=keys)
    manifest, queries = "resources/manifests/small", f"--queries {split}/queries.jsonl"
    root = f"--references {split}/references.jsonl --root world/mini_circo"
    shards = f"{split}/shards"

    def failures(name):
        return f"{split}/{'proxies/text_to_image/' if name == 'proxies' else ''}{name}.failures.jsonl"

    for name, words, gathered in (
        ("captions", f"{root} --model {manifest}/captioner.json", "source_captions"),
        (
            "reasoning",
            f"{queries} --captions {split}/source_captions.jsonl --model {manifest}/llm.json --cache cache",
            "target_captions",
        ),
        (
            "layouts",
            f"{queries} --captions {split}/source_captions.jsonl --model {manifest}/llm.json --cache cache",
            "layouts",
        ),
        (
            "masks",
            f"{queries} --layouts {split}/layouts.jsonl {root} --detector {manifest}/detector.json"
            f" --segmenter {manifest}/segmenter.json --cache cache",
            "reference_masks",
        ),
        (
            "proxies",
            f"{queries} --layouts {split}/layouts.jsonl --masks {split}/reference_masks.jsonl {root}"
            f" --models generator={manifest}/generator.json --images {split}/proxies/text_to_image",
            "proxies/text_to_image/index",
        ),
    ):
        step(name, f"{name} {words} --seed 2025 --output {shards}/{name}/0-0.jsonl", name)
        key = "reference" if name == "captions" else "query_id"
        outputs = f"--output {split}/{gathered}.jsonl --failures {failures(name)}"
        step(f"gather_{name}", f"gather {queries} --key {key} --shards {shards}/{name}/0-0.jsonl {outputs}")
    clip = f"--model {manifest}/clip/mini.json"
    for name, words in (
        ("gallery", f"images --images {split}/gallery.jsonl --root world/mini_circo"),
        ("references", f"images --images {split}/references.jsonl --root world/mini_circo {queries}"),
        ("source_captions", f"captions --captions {split}/source_captions.jsonl {queries}"),
        ("target_captions", f"captions --captions {split}/target_captions.jsonl {queries}"),
        ("proxies", f"proxies --index {split}/proxies/text_to_image/index.jsonl {queries}"
                    f" --images {split}/proxies/text_to_image"),
    ):  # fmt: skip
        words = f"embeddings {words} {clip} --output {one}/{name}.safetensors"
        step(f"{name}_features", words, "embeddings", takes=["stack.clip.mini.architecture"])
    features = (
        f"--target-captions {one}/target_captions.safetensors --source-captions {one}/source_captions.safetensors"
        f" --references {one}/references.safetensors"
    )
    gallery = f"--gallery {one}/gallery.safetensors"
    step(
        "baseline",
        f"baselines ldre {queries} --benchmark circo {features} {gallery} {clip} --seed 2025"
        f" --output {one}/ldre/text.safetensors",
        "ldre",
    )
    for variant in PROXIES:
        words = f"fusion --proxies {one}/proxies.safetensors {features} --variant {variant} --seed 2025"
        step("fusion", f"{words} --output {one}/fusion/{variant}.safetensors", "fusion")
    text = f"--text {one}/ldre/text.safetensors {gallery} {queries} --gallery-images {split}/gallery.jsonl"
    fused = " ".join(f"{one}/fusion/{variant}.safetensors" for variant in PROXIES)
    words = f"ranking {text} --fusion {fused} --variants {' '.join(VARIANTS)} --lambda 0.5 --output-dir {one}/ldre"
    lams = ["datasets.world.tuned_on", "datasets.world.lambda", "datasets.world.exclude_reference"]
    step("ranking", words, "ranking", takes=lams)
    names = ("datasets", "captions", "reasoning", "layouts", "masks", "proxies")
    failed = " ".join(map(failures, names))
    step("failures", f"failures {failed} --output {split}/failures.jsonl")
    for variant in VARIANTS:
        words = f"metrics --rankings {one}/ldre/{variant}.rankings.parquet {queries} --benchmark circo"
        words = f"{words} --failures {split}/failures.jsonl --output {one}/ldre/{variant}.metrics.json"
        step("metrics", words, takes=["datasets.world.benchmark"])
    scored = " ".join(f"{one}/ldre/{variant}.metrics.json" for variant in VARIANTS)
    words = f"results --dataset world --metrics {scored} {queries} --failures {split}/failures.jsonl"
    settings = json.dumps({"seed": 2025, "resamples": 50, "stack": loaded.identity("world")})
    takes = ["seed", "resamples", "stack"]
    step("results", f"{words} --output results/world_metrics.json", settings=settings, takes=takes)
    words = f"sensitivity {text} {features} --proxies {one}/proxies.safetensors --benchmark circo"
    words = f"{words} --weights 1 1 1 --scale dataset --lambda 0.5 --seed 2025 --output {one}/ldre/sensitivity.json"
    step("sensitivity", words, "sensitivity", takes=["fusion", "datasets.world.benchmark", *lams])
    _figures(step, split, one)


def _figures(step, split, one) -> None:
    from ipcir_steps.evaluate.reporting.figures import cards

    def pictures(name):
        return f"--svg results/figures/{name}.svg --png results/figures/{name}.png"

    result = "--results results/world_metrics.json"
    step("scores_figure", f"figures scores {result} {pictures('world')}")
    step("results_figure", f"figures controls {result} {pictures('controls')}")
    for name in cards.names("sweeps"):
        words = f"figures {name} --sensitivity {one}/ldre/sensitivity.json {pictures(name)}"
        step("sensitivity_figure", words)
    files = {"gallery_images": "gallery", "index": "proxies/text_to_image/index"}
    names = ("queries", "gallery_images", "references", "source_captions", "target_captions", "layouts", "index")
    options = [f"--{name.replace('_', '-')} {split}/{files.get(name, name)}.jsonl" for name in (*names, "failures")]
    lists = " ".join(f"{one}/ldre/{variant}.rankings.parquet" for variant in LADDER)
    options.append(f"--root world/mini_circo --proxy-images {split}/proxies/text_to_image --rankings {lists}")
    for name in cards.names("queries"):
        words = f"figures {name} --dataset world {' '.join(options)} {pictures(f'world/{name}')}"
        step("queries_figure", words, "figures")
    for number in (1, 2, 3):
        outputs = " ".join(
            f"--{kind} results/tables/table{number}.{end}"
            for kind, end in (("markdown", "md"), ("csv", "csv"), ("latex", "tex"))
        )
        step("tables", f"tables {result} --number {number} {outputs}")
    step("browser", f"browser --dataset world {' '.join(options)} --output results/browser/world", "figures")
