"""Recipes of what draws: a few steps lower the loss, a killed run ends the same, and the shipped weights are good."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from mini_world import diffusion, render
from mini_world.shipped import SHIPPED
from mini_world.training import autoencoder, drawing, drawn, elite, loop, pool, prompts

from .conftest import SEED

LAYERS = "down_blocks_1_attentions_0_transformer_blocks_0_attn2"


def latents(count):
    return torch.randn(count, 4, 16, 16, generator=torch.Generator().manual_seed(1)).numpy().astype(np.float16)


@pytest.fixture
def make(images, words, monkeypatch):
    monkeypatch.setattr(autoencoder, "HELD_OUT", 0)
    monkeypatch.setattr(drawing, "BATCH", (2, 2, 1, 1))
    monkeypatch.setattr(elite, "BATCH", (2, 2))

    def make(name):
        torch.manual_seed(0)
        if name == "vae":
            recipe = autoencoder.recipe(images)
        elif name == "sd":
            recipe = drawing.recipe(words, prompts.sheets(SEED, 12), latents(12), 1.0)
        else:
            unet = diffusion.unet()
            parts = {
                "unet": unet,
                "migc": diffusion.migc_blocks(unet),
                "text": diffusion.text_encoder(len(words.vocabulary) + 1),
            }
            for part in parts.values():
                part.requires_grad_(False)
            known = [pair[:2] for pair in pool.pairs(SEED, 12)]
            lesson = elite.Lesson(elite.Network(diffusion.vision(), unet), parts, words, known, images)
            recipe = elite.recipe(lesson, latents(12), 1.0)
        return dataclasses.replace(recipe, steps=6, warmup=2)

    return make


@pytest.mark.parametrize(("name", "most"), [("vae", 0.9), ("sd", 0.95), ("elite", 0.995)])
def test_a_few_steps_lower_the_loss(tmp_path, make, name, most):
    recipe = make(name)

    def loss(generator):
        torch.manual_seed(3)  # one batch, again and again
        return recipe.loss(torch.Generator().manual_seed(3))

    before = loss(None)[0].item()
    loop.train(dataclasses.replace(recipe, loss=loss, steps=12), tmp_path, SEED)
    assert loss(None)[0].item() < most * before


@pytest.mark.parametrize("name", ["vae", "sd", "elite"])
def test_a_killed_run_ends_with_the_same_weights(tmp_path, make, name, killed_and_resumed):
    whole = loop.train(make(name), tmp_path / "whole", SEED)
    resumed = killed_and_resumed(lambda: make(name), SEED, 4)
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_elite_teaches_only_its_own_parts(make):
    recipe = make("elite")
    recipe.loss(torch.Generator().manual_seed(0))[0].backward()
    reached = {name for name, value in recipe.model.named_parameters() if value.grad is not None}
    assert {"vision.embeddings.class_embedding", f"elite_local.{LAYERS}_to_k.weight"} <= reached
    assert {"elite_global.mapping_0.0.weight", f"elite_global.{LAYERS}_to_v.weight"} <= reached


def test_references_show_the_thing_that_is_asked_for(make, images, words):
    lesson = elite.Lesson.__new__(elite.Lesson)
    lesson.known, lesson.images = [pair[:2] for pair in pool.pairs(SEED, 12)], images
    rng, checked = random.Random(0), 0
    for row, (_, second) in enumerate(lesson.known):
        for index, (noun, colour) in enumerate(elite.things_of(second)):
            image, mask = lesson.reference(row, index, noun, colour, rng)
            assert image.shape == (64, 64, 3) and mask.shape == (64, 64) and mask.any()
            checked += not mask.all()
    assert checked > 5


def test_the_text_encoder_has_a_row_for_every_token(words):
    torch.manual_seed(0)
    small = diffusion.text_encoder(len(words.vocabulary) + 1).eval()
    wide = diffusion.text_encoder().eval()
    wide.load_state_dict(diffusion.widen({**small.state_dict(), "token_ids": torch.tensor(words.vocabulary)}))
    prompt = "a small red circle on a zebra"
    ids = words.tokenizer(prompt, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        states, end = words.encode(small, [prompt], None)
        torch.testing.assert_close(wide(ids).last_hidden_state, states)
    assert torch.equal(end[0], states[0, int((ids[0] == 49407).int().argmax())])


# --- what is shipped ---------------------------------------------------------------------------------------------


def shipped(*names):
    absent = [name for name in names if not (SHIPPED / f"{name}.safetensors").is_file()]
    return pytest.mark.skipif(bool(absent), reason=f"no weights are shipped of {', '.join(absent)}")


@pytest.mark.slow
@shipped("sd_unet", "judge")
def test_layouts_are_drawn_as_asked(trained_models):
    figures = drawn.evaluate_text(trained_models, 2025, 30)
    assert figures["shape"] >= 0.85 and figures["colour"] >= 0.9 and figures["background"] >= 0.95


@shipped("sd_vae")
def test_the_autoencoder_keeps_pictures(trained_models):
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(trained_models / "sd", subfolder="vae").eval()
    pictures = [np.asarray(render.draw(second)) for _, second in drawn.held_out(2025)[:8]]
    with torch.no_grad():
        pixels = autoencoder.pixels_of(np.stack(pictures))
        again = vae.decode(vae.encode(pixels).latent_dist.mean).sample
        scaled = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
    assert (again - pixels).abs().mean() < 0.07 and 0.5 < scaled.std() < 2


@pytest.mark.slow
@shipped("elite_global", "judge")
def test_an_instance_looks_like_the_reference(trained_models, tmp_path):
    asked = drawn.from_references(2025, 12, tmp_path, named=False)
    figures = {
        worn: drawn.agreement_of(trained_models, asked, drawn.generator(trained_models, elite=worn))
        for worn in (True, False)
    }
    assert figures[True]["colour"] > figures[False]["colour"] + 0.1


def test_weights_are_small():
    names = ("sd_vae", "sd_unet", "sd_text", "migc", "elite_global", "elite_local", "elite_vision")
    files = [SHIPPED / f"{name}.safetensors" for name in names]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 15e6
    for file in files:
        if file.is_file():
            assert all(value.dtype in (torch.float16, torch.int64) for value in load_file(file).values())


def test_masks_go_to_the_generator_as_coco_rle():
    from ipcir_steps.core.masks import decode_rle

    mask = np.array(Image.new("L", (64, 64)))
    mask[10:20, 5:50] = 1
    assert (decode_rle(drawn.rle_of(mask)) == mask).all()
