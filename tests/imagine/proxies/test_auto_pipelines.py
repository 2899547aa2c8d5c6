"""Text-to-image with other families than Stable Diffusion 1: SDXL and FLUX, their real classes, tiny."""

import json

import pytest
import torch
from PIL import Image
from transformers import CLIPTokenizer

from ipcir_steps.cli import main
from ipcir_steps.core.files import read_jsonl
from tests.hub.pipelines import DRAWING


@pytest.fixture(scope="module", params=DRAWING)
def family(request, stable_diffusion, tmp_path_factory):
    directory = tmp_path_factory.mktemp("families") / request.param
    torch.manual_seed(2)
    DRAWING[request.param](CLIPTokenizer.from_pretrained(stable_diffusion / "tokenizer"), directory)
    return directory


def command(world, model, name, *more, models=(), **settings):
    settings = {"width": 64, "height": 48, "steps": 2, "count": 2, "device": "cpu", **settings}
    words = ["proxies", "--queries", world / "queries.jsonl", "--layouts", world / "layouts.jsonl"]
    words += ["--images", world / name, "--output", world / f"{name}.jsonl", "--settings", json.dumps(settings)]
    words += [*more, "--models", f"generator={model}", *models]
    return [str(word) for word in words]


def test_other_families_draw_reproducible_images(world, family):
    assert main(command(world, family, "proxies")) == 0
    first, second, third = read_jsonl(world / "proxies.jsonl")
    assert Image.open(world / "proxies" / "q0" / "0.png").size == (64, 48)
    assert len(set(first["sha256"] + second["sha256"])) == 4 and third["failure"] == "no layout"
    assert main(command(world, family, "again", "--shard", "1/2")) == 0
    assert read_jsonl(world / "again.jsonl")[0]["sha256"] == second["sha256"]


def test_they_cannot_carry_migc(world, family, checkpoints, capsys):
    models = [f"migc={checkpoints / 'migc.ckpt'}"]
    assert main(command(world, family, "migc", models=models, generator="migc", migc_steps=1)) == 2
    message = capsys.readouterr().err
    assert f"{family} is a " in message and "not a StableDiffusionPipeline" in message and "text_encoder_2" in message
