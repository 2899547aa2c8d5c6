"""Backbones in transformers' layout, and image and text read together: what the plan counts is what torch runs."""

import pytest
import torch
from PIL import Image

from ipcir_steps.config import load_config
from ipcir_steps.runtime.plan.backbones import CHAT
from ipcir_steps.runtime.plan.counting import Counter
from ipcir_steps.runtime.plan.estimates import Estimates
from ipcir_steps.runtime.plan.operations import Counts
from ipcir_steps.runtime.plan.work import Typical, Unknown
from ipcir_steps.seek.embeddings.clip import load_encoder
from tests.hub import backbones

PICTURE = (240, 320)


def configured(directory, **embeddings):
    embeddings = {"device": "cpu", **embeddings}
    own = {"extends": "mini", "clip": {"mini": {"source": str(directory)}}, "embeddings": embeddings}
    return load_config({"stacks": {"own": own}}).with_stack("own")


def measured(run) -> int:
    with Counter() as counter:
        run()
    return counter.total


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_two_towers(kind, tmp_path):
    backbones.two_towers(kind, tmp_path)
    config = configured(tmp_path)
    counts, encoder = Counts(config), load_encoder(tmp_path, config.embeddings)
    for run, planned in (
        (lambda: encoder.images([encoder.transform(Image.new("RGB", (40, 30)))] * 2), counts.image),
        (lambda: encoder.texts(["a red dog"] * 2), counts.text),
    ):
        (work,) = planned("mini")
        assert work.operations == pytest.approx(measured(run) / 2, rel=0.05) and work.passes == 1 / 64
    with pytest.raises(Unknown, match="has two towers"):
        counts.joint("mini")


@pytest.mark.parametrize(
    "kind", ["qwen2_5_vl", *(pytest.param(name, marks=pytest.mark.slow) for name in ("qwen2_vl", "qwen3_vl"))]
)
def test_a_language_model_that_reads_images(kind, tmp_path):
    """Its tokenizer has a token for each letter, so the plan is told an instruction that makes as many tokens."""
    directory = backbones.reader(kind, tmp_path)
    encoder = load_encoder(directory, configured(directory).embeddings)
    image, asked = Image.effect_noise(PICTURE[::-1], 90).convert("RGB"), encoder.reading
    for planned, run, text, instruction in (
        ("text", lambda: encoder.texts(["a red dog"]), "a red dog", asked.instruction),
        ("image", lambda: encoder.images([image]), "", asked.instruction),
        ("joint", lambda: encoder.joint([image], ["is red"]), "is red", asked.query_instruction),
    ):
        tokens = len(encoder.processor.tokenizer(encoder._prompt(None, text, instruction))["input_ids"])
        told = "four" * (tokens - CHAT)
        config = configured(directory, reading={"instruction": told, "query_instruction": told})
        counts = Counts(config, Typical(picture=PICTURE, source_tokens=0, request_tokens=0))
        (work,) = getattr(counts, planned)("mini")
        assert work.operations == pytest.approx(measured(run), rel=0.05)


def test_the_baseline_joint_has_an_estimate(tmp_path):
    config = configured(backbones.reader("qwen2_5_vl", tmp_path))
    found = Estimates(config).baseline("joint", "mini", 10, 32)
    (work,) = Counts(config).joint("mini")
    assert found.operations == work.operations > 0 and min(found.seconds.values()) > 0


def test_a_weights_file_is_counted_by_the_name_that_it_is_given(tmp_path):
    file = tmp_path / "weights.pt"
    torch.save({}, file)
    own = {"extends": "mini", "clip": {"mini": {"source": str(file), "architecture": "ViT-B-32"}}}
    (work,) = Counts(load_config({"stacks": {"own": own}}).with_stack("own")).image("mini")
    assert work.operations == pytest.approx(2 * 4.4e9, rel=0.05)
