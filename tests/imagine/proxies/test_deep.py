"""Reused deep features, and no guidance at the end of a run, against a U-Net written out layer by layer."""

import dataclasses

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from ipcir_steps.imagine.proxies.checkpoints import load_migc
from ipcir_steps.imagine.proxies.course import Call, Course, calls
from ipcir_steps.imagine.proxies.pipeline import Item, LayoutPipeline
from ipcir_steps.imagine.proxies.samplers import BETAS, sampler

ITEMS = [Item("a cat", (0.1, 0.2, 0.6, 0.9)), Item("a red dog", (0.4, 0.05, 0.95, 0.7))]


@pytest.fixture(scope="module")
def layout(stable_diffusion, checkpoints):
    parts = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
    stage = load_migc(parts.unet, checkpoints / "migc.ckpt")
    scheduler = sampler("ddim", {**BETAS, "prediction_type": "epsilon"})
    return LayoutPipeline(parts.unet, parts.vae, parts.text_encoder, parts.tokenizer, stage, scheduler=scheduler)


def written_out(unet, x, time, text, old=None):
    """(prediction, what enters the second layer of the last block going up); old: of another call, to go in there."""
    embedded = unet.time_embedding(unet.time_proj(time[None]).expand(len(x), -1))
    skips = [unet.conv_in(x)]
    for block in unet.down_blocks:
        for number, resnet in enumerate(block.resnets):
            x = resnet(skips[-1], embedded)
            if hasattr(block, "attentions"):
                x = block.attentions[number](x, encoder_hidden_states=text).sample
            skips.append(x)
        if block.downsamplers is not None:
            skips.append(block.downsamplers[0](x))
    x = unet.mid_block(skips[-1], embedded, encoder_hidden_states=text)
    for level, block in enumerate(unet.up_blocks):
        for number, resnet in enumerate(block.resnets):
            if (level, number) == (3, 1):
                x = deep = x if old is None else old
            x = resnet(torch.cat([x, skips.pop()], 1), embedded)
            if hasattr(block, "attentions"):
                x = block.attentions[number](x, encoder_hidden_states=text).sample
        if block.upsamplers is not None:
            x = block.upsamplers[0](x)
    return unet.conv_out(torch.nn.functional.silu(unet.conv_norm_out(x))), deep


@torch.no_grad()
@pytest.mark.parametrize(
    ("every", "guided", "migc", "whole"),
    [
        (1, 6, 3, [0, 1, 2, 3, 4, 5]),
        (2, 6, 6, [0, 2, 4]),
        (3, 6, 3, [0, 3]),
        (2, 4, 3, [0, 2, 3, 4]),  # anew where a phase ends: after 3 and 4 of 6 steps
        (9, 2, 0, [0, 2]),
    ],
)
def test_a_run_with_reused_features(layout, every, guided, migc, whole):
    course = Course(6, 3.0, migc / 6, guided / 6, every)
    plan, noise, stage, unet = (
        layout.plan("a garden", ITEMS, "bad", 64, 64),
        layout.noise([1, 2], 64, 64),
        layout.stage,
        layout.unet,
    )
    ours = layout.follow(course, plan, noise)
    scheduler = DDIMScheduler(**BETAS, timestep_spacing="trailing", clip_sample=False)
    scheduler.set_timesteps(6)
    x, deep = noise, None
    stage.plan = plan
    for step, time in enumerate(scheduler.timesteps):
        rows = torch.cat([x, x]) if step < guided else x
        stage.migc, stage.guided, stage.twins = step < migc, step < guided, False
        predicted, deep = written_out(
            unet, rows, time, plan.text[:1].expand(len(rows), -1, -1), None if step in whole else deep
        )
        if step < guided:
            first, second = predicted.chunk(2)
            predicted = first + 3.0 * (second - first)
        x = scheduler.step(predicted, time, x).prev_sample
    stage.rest()
    assert (ours - x).abs().max() <= 1e-4 * x.abs().max()
    plain = layout.follow(dataclasses.replace(course, reuse_every=1), plan, noise)
    assert torch.equal(plain, ours) if every == 1 else (plain - ours).abs().max() > 1e-3


def test_a_shallow_call_alone_is_an_error(layout):
    plan = layout.plan("a garden", [], "bad", 64, 64)
    with pytest.raises(RuntimeError, match="follows no whole call"):
        layout.predict(layout.noise([1], 64, 64), torch.tensor(9), plan, Course(), Call(False, False, whole=False))


def test_where_the_guidance_ends():
    """As the MIGC blocks: a part of the way, whatever the number of steps; nothing ends by default."""
    for steps, until, count in ((1, 0.5, 1), (2, 0.5, 1), (4, 0.75, 3), (10, 0.7, 7), (50, 0.0, 0), (50, 0.9, 45)):
        scheduler = sampler("ddim", BETAS)
        scheduler.set_timesteps(steps)
        made = calls(Course(steps, 7.5, None, until), scheduler.timesteps, 1000)
        assert [call.guided for call in made] == [True] * count + [False] * (steps - count)
    assert not any(call.guided for call in calls(Course(4, 1.0), (999, 749, 499, 249), 1000))
