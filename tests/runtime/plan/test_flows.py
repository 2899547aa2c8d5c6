"""What the plan counts of FLUX and Qwen-Image pipelines is what torch runs: their real classes, tiny, through the
generators; and the settings that make drawing cheaper."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPTokenizer

from ipcir_steps.config import load_config
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.generator import Task, load_generator
from ipcir_steps.runtime.plan import flows
from ipcir_steps.runtime.plan.counting import Counter
from ipcir_steps.runtime.plan.memory import need
from ipcir_steps.runtime.plan.operations import Counts
from ipcir_steps.runtime.plan.work import Unknown
from mini_world import models as mini
from tests.hub.pipelines import DRAWING, EDITING

pytestmark = pytest.mark.usefixtures("small_references")


@pytest.fixture(scope="module")
def sd(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "sd"
    torch.manual_seed(0)
    mini.BUILDERS["sd"](directory)
    return directory


def planned(directory, generator, **proxies):
    own = {
        "extends": "mini", "models": {"generator": {"source": str(directory)}},
        "proxies": {"generator": generator, "count": 2, "steps": 3, "width": 64, "height": 64, "device": "cpu",
                    **proxies},
    }  # fmt: skip
    config = load_config({"stacks": {"own": own}}).with_stack("own")
    return Counts(config), config


def drawn(directory, config, tmp_path):
    """(operations per image, tokens of text that the network reads)"""
    generator, texts = load_generator(config.proxies, {"generator": load_manifest(directory)}), []
    generator.pipeline.transformer.register_forward_pre_hook(
        lambda module, inputs, given: texts.append(given["encoder_hidden_states"].shape[1]), with_kwargs=True
    )
    Image.new("RGB", (64, 64), "red").save(tmp_path / "reference.png")
    with Counter() as counter:
        images, _ = generator.draw(Task("q", "make it red", "a field", (), (1, 2), tmp_path / "reference.png"))
    assert np.asarray(images[0]).shape == (64, 64, 3)
    return counter.total / 2, sum(texts) / len(texts)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("flux", {"guidance": 0.0}),
        ("kontext", {"guidance": 2.5}),
        ("kontext", {"guidance": 2.5, "settings": {"true_cfg_scale": 3.0}}),
        pytest.param("klein", {"guidance": 1.0}, marks=pytest.mark.slow),
        ("klein", {"guidance": 4.0}),
        ("qwen_edit", {"guidance": 4.0}),
        ("qwen_edit", {"guidance": 0.0}),
        ("qwen_edit_plus", {"guidance": 4.0}),
    ],
)
@pytest.mark.parametrize("steps", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_pipelines_of_a_transformer(sd, tmp_path, monkeypatch, name, given, steps):
    """Texts are as long as the tokenizer makes them, which here has a token for each letter."""
    if name in DRAWING:
        DRAWING[name](CLIPTokenizer.from_pretrained(sd / "tokenizer", model_max_length=77), tmp_path / "model")
    else:
        EDITING[name](sd, tmp_path / "model")
    counts, config = planned(tmp_path / "model", "text_to_image" if name in DRAWING else "image_editing", **given,
                             steps=steps)  # fmt: skip
    operations, words = drawn(tmp_path / "model", config, tmp_path)
    if name.startswith("qwen"):
        monkeypatch.setattr(flows, "WORDS", round(words) - 96 * 96 // 28**2)
    (work,) = counts.proxies()
    assert work.operations == pytest.approx(operations, rel=0.05)
    assert work.passes == steps / 2 * (2 if "true_cfg_scale" in str(given) or given == {"guidance": 4.0} else 1)
    assert 0 < need(config, "proxies", "cpu").host < 2e9


def test_a_distilled_klein_has_no_guidance(sd, tmp_path):
    """The number in its index says so, and the pipeline then leaves the negative prompt out."""
    EDITING["klein"](sd, tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "is_distilled": True}))
    counts, config = planned(tmp_path / "model", "image_editing", guidance=4.0)
    (work,) = counts.proxies()
    assert work.operations == pytest.approx(drawn(tmp_path / "model", config, tmp_path)[0], rel=0.05)


@pytest.mark.slow
def test_klein_draws_from_text_alone(sd, tmp_path):
    EDITING["klein"](sd, tmp_path / "model")
    counts, config = planned(tmp_path / "model", "text_to_image", guidance=4.0)
    (work,) = counts.proxies()
    assert work.operations == pytest.approx(drawn(tmp_path / "model", config, tmp_path)[0], rel=0.05)


def test_a_pipeline_that_is_not_counted_says_so(sd, tmp_path):
    EDITING["klein"](sd, tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    index.write_text(index.read_text().replace("Flux2KleinPipeline", "Flux2Pipeline"))
    with pytest.raises(Unknown, match="not counted: the operations of a Flux2Pipeline"):
        planned(tmp_path / "model", "image_editing")[0].proxies()
