"""The distillation of a few-step generator: its formulas are diffusers', one step is the one computed by hand with the
pipeline's processors, a killed run ends the same, and the shipped update draws in one step.
"""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler
from safetensors.torch import load_file

from ipcir_steps.imagine.proxies.checkpoints import LAYER, install
from ipcir_steps.imagine.proxies.processors import ImageRow, MIGCProcessor, Plan
from ipcir_steps.imagine.proxies.regions import Regions, box_masks
from mini_world import diffusion, lora
from mini_world.shipped import SHIPPED, settle
from mini_world.training import consistency, drawing, drawn, elite, loop, pool

from .conftest import SEED

SIGNAL = drawing.noise_levels()
MODEL = {**diffusion.BETAS, "prediction_type": diffusion.PREDICTION, "clip_sample": False}


@pytest.fixture
def make(images, words, monkeypatch):
    """Function that makes the recipe on untrained models and pictures of noise."""
    monkeypatch.setattr(consistency, "BATCH", (3, 1))

    def make():
        torch.manual_seed(0)
        unet = diffusion.unet()
        text = diffusion.text_encoder(len(words.vocabulary) + 1)
        parts = {"unet": unet, "migc": diffusion.migc_blocks(unet), "text": text}
        for part in parts.values():
            part.eval().requires_grad_(False)
        model = elite.Network(diffusion.vision(), unet).eval().requires_grad_(False)
        lesson = elite.Lesson(model, parts, words, [pair[:2] for pair in pool.pairs(SEED, 12)], images)
        recipe = consistency.recipe(lesson, torch.randn(12, 4, 16, 16).numpy().astype(np.float16), 1.0)
        return dataclasses.replace(recipe, steps=6, warmup=2)

    return make


def test_at_time_zero_the_student_is_the_identity():
    noisy, velocity = torch.randn(2, 2, 4, 16, 16)
    times = torch.tensor([0, 0])
    assert torch.equal(consistency.consistency(noisy, velocity, times, SIGNAL), noisy)
    later = consistency.consistency(noisy, velocity, times + 19, SIGNAL)
    assert not torch.allclose(later, noisy, atol=0.1)


@pytest.mark.parametrize("time", [999, 759, 499, 19])
def test_the_student_is_what_the_sampler_of_diffusers_expects(time):
    scheduler = LCMScheduler(**MODEL)
    scheduler.set_timesteps(50)
    noisy, velocity = torch.randn(2, 1, 4, 16, 16)
    expected = scheduler.step(velocity, torch.tensor(time), noisy).denoised
    found = consistency.consistency(noisy, velocity, torch.tensor([time]), SIGNAL)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert {999, 499} <= set(range(consistency.GRID - 1, 1000, consistency.GRID)) >= set(scheduler.timesteps.tolist())


@pytest.mark.parametrize("time", [999, 519, 59])
def test_the_teacher_steps_as_ddim(time):
    scheduler = DDIMScheduler(**MODEL, set_alpha_to_one=False)
    scheduler.set_timesteps(1000 // consistency.STRIDE)
    noisy, velocity = torch.randn(2, 1, 4, 16, 16)
    times = torch.tensor([time])
    found = consistency.ddim(noisy, velocity, times, (times - consistency.STRIDE).clamp(min=0), SIGNAL)
    torch.testing.assert_close(found, scheduler.step(velocity, time, noisy).prev_sample, atol=1e-5, rtol=1e-5)


def plan_of(layouts, row: int, negative: torch.Tensor) -> Plan:
    """What the pipeline draws one picture of the batch from."""
    count = int(layouts.present[row].sum())
    boxes, chosen = layouts.boxes[row, :count], layouts.rows[row, : 1 + count]
    worn, images = layouts.references, {}
    for host, place, local, token in zip(worn.picture, worn.place, worn.local, worn.placeholder, strict=True):
        if host == row:
            images[int(place) - 1] = ImageRow(local, int(token))
    text = torch.cat([negative, layouts.text[chosen]])
    regions = Regions(box_masks(boxes.tolist(), 64, 64) if count else torch.zeros(0, 64, 64), factor=4)
    return Plan(text, layouts.pooled[chosen[1:]], boxes, regions, images)


def pipeline_of(lesson, unet):
    """A U-Net with the processors of the pipeline, MIGC and ELITE, and what steers them."""
    stage = install(unet)
    for name, block in lesson.parts["migc"].items():
        unet.get_submodule(name.replace("-", ".") + LAYER).processor.migc = block
    for name, processor in unet.attn_processors.items():
        if isinstance(processor, MIGCProcessor):
            layer = name.removesuffix(".processor").replace(".", "_")
            for role in ("elite_global", "elite_local"):
                mapper = getattr(lesson.model, role)
                pair = {part: getattr(mapper, f"{layer}_{part}") for part in ("to_k", "to_v")}
                setattr(processor, role, torch.nn.ModuleDict(pair))

    @torch.no_grad()
    def halves(plan, noisy, time):
        """Velocities of the negative prompt and of the layout, [1, 4, 16, 16] each."""
        stage.plan, stage.migc = plan, time >= 500
        text = plan.text[:1].expand(2, -1, -1)
        return unet(noisy.expand(2, -1, -1, -1), time, encoder_hidden_states=text).sample.chunk(2)

    return halves


def test_a_step_is_the_one_computed_by_hand(make):
    """Picture by picture, with the pipeline's processors, DDIM and LCM of diffusers, and weights updated in place."""
    recipe = make()
    distillation, lesson = recipe.loss, recipe.loss.lesson
    with torch.no_grad():
        for value in recipe.model.student.up.values():
            value.normal_(std=0.2)
    seen = {}
    disturbed = distillation.disturbed

    def look(rows, times, generator):
        seen.update(times=times, noisy=disturbed(rows, times, generator), layouts=lesson.layouts)
        return seen["noisy"]

    distillation.disturbed = look
    loss, _ = recipe.loss(torch.Generator().manual_seed(2))
    times, layouts = seen["times"], seen["layouts"]
    assert times[0] == 999 and layouts.references is not None and not layouts.present[-1].any()
    assert (times[:3] >= 500).any() and (times[:3] < 500).any()

    settings = distillation.settings
    negative, _ = lesson.prompts.encode(lesson.parts["text"], [settings.negative_prompt], None)
    unets = []
    for update in (None, recipe.model.target, recipe.model.student):
        unet = copy.deepcopy(lesson.parts["unet"])
        for key in update.down if update else ():
            down, up = update.down[key].detach(), update.up[key].detach()
            product = torch.einsum("or,r...->o...", up.reshape(up.shape[0], -1), down)
            unet.get_parameter(key.replace("-", ".") + ".weight").data += product
        unets.append(pipeline_of(lesson, unet))
    teacher, target, student = unets
    ddim, lcm = DDIMScheduler(**MODEL, set_alpha_to_one=False), LCMScheduler(**MODEL)
    ddim.set_timesteps(10)
    lcm.set_timesteps(50)

    def denoised(velocity, time, noisy):
        lcm._step_index = None
        return lcm.step(velocity, torch.tensor(time), noisy).denoised if time else noisy

    errors = []
    for row, time in enumerate(times.tolist()):
        plan, noisy = plan_of(layouts, row, negative), seen["noisy"][row : row + 1]
        unconditional, conditional = teacher(plan, noisy, time)
        guided = unconditional + settings.guidance * (conditional - unconditional)
        before, earlier = ddim.step(guided, time, noisy).prev_sample, max(time - 100, 0)
        plan.cache.clear()
        wanted = denoised(target(plan, before, earlier)[1], earlier, before)
        plan.cache.clear()
        found = denoised(student(plan, noisy, time)[1], time, noisy)
        weight = torch.ones(16, 16)
        union = layouts.masks[row, :-1].sum(0).clamp(max=1)
        weight += (consistency.INSIDE - 1) * union
        distance = ((found - wanted) ** 2 + 0.001**2).sqrt() - 0.001
        errors.append((distance[0] * weight).sum() / weight.sum() / 4)
    assert loss.item() > 0.01
    torch.testing.assert_close(loss.detach(), torch.stack(errors).mean(), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_and_teach_the_student_alone(tmp_path, make):
    recipe = make()
    frozen = {k: v.clone() for k, v in recipe.loss.unet.state_dict().items()}

    def loss(generator):
        torch.manual_seed(3)  # one batch, again and again
        return recipe.loss(torch.Generator().manual_seed(3))

    before = loss(None)[0].item()
    loop.train(dataclasses.replace(recipe, loss=loss, steps=12), tmp_path, SEED)
    assert loss(None)[0].item() < 0.9 * before
    assert all(torch.equal(value, frozen[key]) for key, value in recipe.loss.unet.state_dict().items())
    moved = [value.abs().max() for value in recipe.model.target.up.values()]
    assert min(moved) > 0 and all(not p.requires_grad for p in recipe.model.target.parameters())


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(tmp_path, make, killed_and_resumed):
    whole = loop.train(make(), tmp_path / "whole", SEED)
    resumed = killed_and_resumed(make, SEED, 4)
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


# --- what is shipped ---------------------------------------------------------------------------------------------

shipped = pytest.mark.skipif(not (SHIPPED / "lcm.safetensors").is_file(), reason="no weights are shipped of lcm")


@pytest.mark.slow
@shipped
def test_one_step_draws_what_is_asked_for(trained_models):
    """Without the update, one step does not."""
    asked, figures = drawn.from_text(2025, 30), {}
    for few in (True, False):
        source = drawn.generator(trained_models, False, drawn.few_steps(1, few), few)
        figures[few] = drawn.agreement_of(trained_models, asked, source)
    assert min(figures[True][name] for name in ("shape", "colour", "background", "size")) >= 0.9
    assert figures[False]["scene"] < 0.6


@shipped
def test_the_generator_adds_what_was_trained(trained_models):
    """Read by diffusers and PEFT from the model directory, as any LoRA."""
    update = settle(lora.LoRA(diffusion.unet()), SHIPPED, "lcm")
    base = drawn.generator(trained_models, False).pipeline.unet
    found = drawn.generator(trained_models, False, drawn.few_steps(1, True), few=True).pipeline.unet
    weights = update.updated(base)
    assert len(weights) == len(update.down)
    assert min((value - base.get_parameter(name)).abs().max() for name, value in weights.items()) > 0
    for name, value in weights.items():
        torch.testing.assert_close(found.get_parameter(name), value.detach(), atol=1e-6, rtol=1e-5)


@shipped
def test_its_weights_are_small():
    file = SHIPPED / "lcm.safetensors"
    assert file.stat().st_size < 2.5e6 and {value.dtype for value in load_file(file).values()} == {torch.float16}
