"""Shared fixtures. Tests that need the published data skip when it is not beside the checkout."""

import os
import shutil
from pathlib import Path

import pytest

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
def blip2(tmp_path_factory) -> Path:
    """Directory of a tiny untrained BLIP-2."""
    import torch

    from mini_world import models

    directory = tmp_path_factory.mktemp("blip2") / "model"
    torch.manual_seed(0)
    models.blip2(directory)
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


@pytest.fixture
def small_references(monkeypatch) -> None:
    """Editing pipelines bring every reference to 1024 x 1024 pixels: seconds that show no more than 96 x 96."""
    from diffusers.pipelines.flux import pipeline_flux_kontext
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus

    monkeypatch.setattr(pipeline_flux_kontext, "PREFERRED_KONTEXT_RESOLUTIONS", [(96, 64)])
    for module in (pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus):
        whole = module.calculate_dimensions
        monkeypatch.setattr(module, "calculate_dimensions", lambda _, ratio, whole=whole: whole(96 * 96, ratio))


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

    from tests.finished import finish

    return once("finished", finish)
