"""Every sampler against diffusers' own pipeline, a closed form or its formulas written out; the phases of a run."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from ipcir_steps.config.generation import NOISY, SAMPLERS, Proxies
from ipcir_steps.core.errors import InputError
from ipcir_steps.imagine.proxies.checkpoints import load_migc
from ipcir_steps.imagine.proxies.course import Course, calls
from ipcir_steps.imagine.proxies.pipeline import Item, LayoutPipeline
from ipcir_steps.imagine.proxies.samplers import BETAS, check, sampler, step_options

ALPHAS = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
SIGMAS = ((1 - ALPHAS) / ALPHAS) ** 0.5


@pytest.fixture(scope="module")
def base(stable_diffusion):
    return StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)


@pytest.fixture(scope="module")
def layout(stable_diffusion, checkpoints):
    parts = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
    stage = load_migc(parts.unet, checkpoints / "migc.ckpt")
    return LayoutPipeline(parts.unet, parts.vae, parts.text_encoder, parts.tokenizer, stage)


def sources(*seeds):
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("prediction", ["epsilon", pytest.param("v_prediction", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SAMPLERS)
def test_without_instances_it_is_the_pipeline_of_diffusers(base, layout, name, prediction):
    for steps, guidance in ((2, 7.5), (4, 1.0), (7, 3.0)):
        base.scheduler = sampler(name, {**BETAS, "prediction_type": prediction})
        base.set_progress_bar_config(disable=True)
        extra = {"eta": 0.3} if name == "tcd" else {}
        theirs = base("a garden", negative_prompt="bad", height=64, width=64, num_images_per_prompt=2,
                      generator=sources(1, 2), num_inference_steps=steps, guidance_scale=guidance,
                      output_type="latent", **extra).images  # fmt: skip
        layout.scheduler = sampler(name, {**BETAS, "prediction_type": prediction})
        plan, drawn = layout.plan("a garden", [], "bad", 64, 64), sources(1, 2)
        ours = layout.follow(Course(steps, guidance), plan, layout.normal(drawn, 64, 64), drawn)
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max(), (steps, guidance)


def noise_of(time):
    """(share of the image, share of the noise) at a training time."""
    alpha = np.interp(float(time), np.arange(1000), ALPHAS)
    return alpha**0.5, (1 - alpha) ** 0.5


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in NOISY])
def test_images_that_are_normal_noise_have_a_closed_form(name, prediction):
    """Images N(0, 0.7^2): the best prediction is linear, and the path from noise to image a scaling."""
    scheduler, width = sampler(name, {**BETAS, "prediction_type": prediction}), 0.7
    scheduler.set_timesteps(50)
    start = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(1, 1, 3, 3)
    x = start * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        a, s = noise_of(time)
        scaled = scheduler.scale_model_input(x, time)
        image = scaled * a * width**2 / (a**2 * width**2 + s**2)
        noise = (scaled - a * image) / s
        x = scheduler.step(noise if prediction == "epsilon" else a * noise - s * image, time, x).prev_sample
    a, s = noise_of(999)
    error = (x - start * width / (a**2 * width**2 + s**2) ** 0.5).abs().max()
    assert error < (0.08 if name in ("euler", "ddim") else 0.03)  # of the first order, of the second


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_samplers_of_few_steps_written_out(name, steps):
    """LCM (algorithm 3) and TCD (strategic stochastic sampling); each image has noise of its own."""
    scheduler, x = sampler(name, {**BETAS, "prediction_type": "epsilon"}), torch.linspace(-1, 1, 8).reshape(2, 1, 2, 2)
    scheduler.set_timesteps(steps)
    options, own, fresh = step_options(scheduler, sources(5, 6), 0.3), x.double().numpy(), sources(5, 6)
    times = [999 - 20 * int(50 * k / steps) for k in range(steps)]
    assert scheduler.timesteps.tolist() == times
    for k, time in enumerate(times):
        x = scheduler.step(torch.sin(3 * x), time, x, **options).prev_sample
        a, s = ALPHAS[time] ** 0.5, (1 - ALPHAS[time]) ** 0.5
        after = times[k + 1] if k + 1 < steps else None
        image = (own - s * np.sin(3 * own)) / a
        if name == "lcm":
            cut = 10 * time
            goal = image * cut / (cut**2 + 0.25) ** 0.5 + own * 0.25 / (cut**2 + 0.25)
            own, level = goal, None if after is None else (ALPHAS[after], 1 - ALPHAS[after])
        else:
            middle = ALPHAS[int(0.7 * (after or 0))]
            goal = middle**0.5 * image + (1 - middle) ** 0.5 * np.sin(3 * own)
            own, level = goal, None if after is None else (ALPHAS[after] / middle, 1 - ALPHAS[after] / middle)
        if level is not None:
            noise = np.stack([torch.randn(1, 1, 2, 2, generator=source)[0].numpy() for source in fresh])
            own = level[0] ** 0.5 * goal + level[1] ** 0.5 * noise
        assert np.abs(x.numpy() - own).max() < 2e-4


@pytest.mark.parametrize("name", NOISY)
def test_fresh_noise_does_not_depend_on_the_batch(layout, name):
    layout.scheduler = sampler(name, {**BETAS, "prediction_type": "epsilon"})
    items, call = [Item("a cat", (0.1, 0.2, 0.6, 0.9))], {"steps": 4, "width": 64, "height": 64, "fuser_steps": 9}
    together = layout("a garden", items, [1, 2, 3], **call)
    alone = layout("a garden", items, [1, 2, 3], proxies_per_batch=1, **call)
    for image, other in zip(together, alone, strict=True):
        assert np.abs(np.asarray(image, int) - np.asarray(other, int)).max() <= 1
    other = [np.asarray(image, int) for image in layout("a garden", items, [1, 2, 4], **call)]
    assert np.abs(np.asarray(together[2], int) - other[2]).max() > 1


@pytest.mark.parametrize("steps", [1, 2, 4, 10, 50])
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_blocks_act_while_the_network_sees_more_noise_than_half_way(name, steps):
    spacing = "trailing" if (name, steps) == ("euler", 1) else "default"
    scheduler = sampler(name, BETAS, spacing)
    scheduler.set_timesteps(steps)
    assert float(scheduler.timesteps[0]) == 999  # all begin with pure noise
    made = calls(Course(steps, 7.5, migc_until=0.5), scheduler.timesteps, 1000)
    half = np.interp(499.5, np.arange(1000), SIGMAS)
    levels = np.interp(scheduler.timesteps.numpy(), np.arange(1000), SIGMAS)
    assert [call.migc for call in made] == [bool(level > half) for level in levels]
    if name == "dpm++_2m_karras":  # Karras' levels spend more steps near the image
        assert sum(call.migc for call in made) == {1: 1, 2: 1, 4: 2, 10: 5, 50: 23}[steps]
    else:  # evenly spaced in training time
        assert sum(call.migc for call in made) == max(1, steps // 2)


def test_the_published_phase_as_a_part_of_the_way():
    scheduler = sampler("euler", BETAS)
    scheduler.set_timesteps(50)
    by_index = calls(Course(), scheduler.timesteps, 1000)
    assert by_index == calls(Course(migc_until=0.52, migc_steps=-1), scheduler.timesteps, 1000)
    assert sum(call.migc for call in by_index) == 26 and all(call.guided for call in by_index)
    for until, count in ((0.0, 0), (1.0, 50)):
        assert sum(call.migc for call in calls(Course(migc_until=until), scheduler.timesteps, 1000)) == count


def test_phases_reach_the_blocks(layout):
    """What acts in a call is what the course says: the first of two trailing steps has the MIGC blocks."""
    layout.scheduler = sampler("ddim", {**BETAS, "prediction_type": "epsilon"})
    seen, block = [], layout.unet.mid_block.attentions[0].transformer_blocks[0].attn2.processor.migc
    hook = block.register_forward_hook(lambda *_: seen.append(layout.stage.step))
    plan = layout.plan("a garden", [Item("a cat", (0.1, 0.2, 0.6, 0.9))], "bad", 64, 64)
    for steps, until, expected in ((2, 0.5, [0]), (4, 0.5, [0, 1]), (2, None, [0, 1]), (1, 0.1, [0])):
        seen.clear()
        layout.follow(Course(steps, 7.5, until), plan, layout.noise([1], 64, 64))
        assert seen == expected
    hook.remove()


@pytest.mark.parametrize(
    ("settings", "name", "field"),
    [
        ({"spacing": "trailing"}, "lcm", "spacing"),
        ({"spacing": "leading"}, "default", "spacing"),
        ({"steps": 1}, "euler", "spacing"),
        ({"steps": 1, "spacing": "leading"}, "ddim", "spacing"),
    ],
)
def test_settings_that_would_go_wrong_in_silence(settings, name, field):
    with pytest.raises(InputError) as error:
        check(Proxies(**settings), name)
    assert f"'{field}'" in str(error.value)
    check(Proxies(steps=1, spacing="trailing"), "euler")
    check(Proxies(steps=1), "unipc")
