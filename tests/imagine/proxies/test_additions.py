"""LoRA weights beside MIGC and ELITE, and a small decoder: real files of every layout, and those that do not fit."""

import shutil

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    DiffusionPipeline,
    QwenImagePipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
)
from PIL import Image
from safetensors.torch import save_file

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.additions import fit
from ipcir_steps.imagine.proxies.generator import Instance, Task, load_generator
from ipcir_steps.imagine.proxies.lora import add_lora
from tests.hub.pipelines import EDITING

ENDS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.2", "conv1")
SMALL = {"generator": "migc", "width": 64, "height": 64, "steps": 2, "device": "cpu", "migc_steps": 0, "guidance": 3.0}


@pytest.fixture(scope="module")
def updates(stable_diffusion):
    """{layer of the U-Net: (A, B)} of rank 4."""
    unet = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None).unet
    source, found = torch.Generator().manual_seed(4), {}
    for name, layer in unet.named_modules():
        if name.endswith(ENDS):
            out, *rest = layer.weight.shape
            down = torch.randn(4, *rest, generator=source) * 0.4 / layer.weight[0].numel() ** 0.5
            found[name] = down, torch.randn(out, 4, *[1] * (len(rest) - 1), generator=source)
    return found


def saved(path, updates, layout="peft", alpha=None):
    """As PEFT, diffusers or kohya lay LoRA files out; alpha: theirs is alpha / rank times the update."""
    values = {}
    for name, (down, up) in updates.items():
        if layout == "kohya":
            stem = f"lora_unet_{name.replace('.', '_')}"
            values |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
            values[f"{stem}.alpha"] = torch.tensor(float(alpha))
        else:
            ends = ("lora_A", "lora_B") if layout == "peft" else ("lora.down", "lora.up")
            values |= {f"unet.{name}.{end}.weight": value for end, value in zip(ends, (down, up), strict=True)}
    save_file(values, path)
    return load_manifest(path)


def by_hand(pipeline, updates, factor):
    with torch.no_grad():
        for name, (down, up) in updates.items():
            weight = pipeline.unet.get_submodule(name).weight
            weight += factor * (up.flatten(1) @ down.flatten(1)).view(weight.shape)
    return pipeline


@pytest.mark.parametrize(("layout", "alpha", "factor"), [("peft", None, 1), ("diffusers", None, 1), ("kohya", 1, 0.25)])
def test_fused_weights_are_those_added_by_hand(stable_diffusion, updates, tmp_path, layout, alpha, factor):
    ours, theirs = (StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None) for _ in range(2))
    add_lora(ours, saved(tmp_path / "lora.safetensors", updates, layout, alpha), 0.7)
    expected = by_hand(theirs, updates, 0.7 * factor).unet.state_dict()
    assert ours.unet.state_dict().keys() == expected.keys()
    for name, value in ours.unet.state_dict().items():
        assert (value - expected[name]).abs().max() <= 1e-6, name


@pytest.fixture
def latents(stable_diffusion, checkpoints, tmp_path):
    """The final latents of generator migc with ELITE, by the models and settings that are added."""
    files = {"generator": stable_diffusion, "migc": checkpoints / "migc.ckpt", "vision": checkpoints / "vision"}
    files |= {"elite_global": checkpoints / "global.pt", "elite_local": checkpoints / "local.pt"}
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "reference.png")
    cat = Instance("a cat", "cat", (0.1, 0.2, 0.6, 0.9), from_image=True)
    task = Task("q", "", "a garden", (cat, Instance("a dog", "dog", (0.4, 0.1, 0.9, 0.7))), (3,),
                tmp_path / "reference.png")  # fmt: skip

    def latents(added=None, change=None, **settings):
        models = {**{role: load_manifest(path) for role, path in files.items()}, **(added or {})}
        generator, kept = load_generator(Proxies(**{**SMALL, **settings}), models), []
        assert set(generator.identity) == set(models)
        if change:
            change(generator.pipeline)
        decode = generator.pipeline.decode
        generator.pipeline.decode = lambda values: decode(kept.append(values) or values)
        images, _ = generator.draw(task)
        return kept[0], images

    return latents


def test_layouts_see_the_lora_in_every_projection(latents, updates, tmp_path):
    """Beside MIGC and ELITE: unfused as fused, and both as added by hand to what the blocks read."""
    model = saved(tmp_path / "lora.safetensors", updates)
    fused, unfused = (latents({"lora": model}, lora_weight=0.5, lora_fused=fused)[0] for fused in (True, False))
    added = latents(change=lambda pipeline: by_hand(pipeline, updates, 0.5))[0]
    scale = added.abs().max()
    assert (fused - added).abs().max() <= 1e-5 * scale and (unfused - added).abs().max() <= 1e-5 * scale
    assert (latents()[0] - added).abs().max() > 1e-2 * scale


@pytest.mark.slow
@pytest.mark.parametrize("end", ["attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"])
def test_each_projection_by_itself(latents, updates, tmp_path, end):
    alone = {name: pair for name, pair in updates.items() if name.endswith(end)}
    beside = latents({"lora": saved(tmp_path / "alone.safetensors", alone)}, lora_fused=False)[0]
    expected, without = latents(change=lambda pipeline: by_hand(pipeline, alone, 1.0))[0], latents()[0]
    scale = expected.abs().max()
    assert (beside - expected).abs().max() <= 1e-5 * scale
    assert (beside - without).abs().max() > 1e-3 * scale


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {**v, "unet.mid_block.attentions.9.proj_in.lora_A.weight": torch.ones(4, 32),
                    "unet.mid_block.attentions.9.proj_in.lora_B.weight": torch.ones(32, 4)}, "1 of the .* updates"),
        (lambda v: dict(list(v.items())[:-1]), "matrices A and"),
        (lambda v: {**v, "unet.conv_in.diff": torch.ones(1)}, "holds unet.conv_in.diff, which is no LoRA weight"),
        (lambda v: {key: torch.cat([value, value], 1) if "lora_A" in key and "to_k" in key else value
                    for key, value in v.items()}, "does not fit the pipeline"),
        (lambda v: {key.replace("unet.", "transformer."): value for key, value in v.items()}, "no place in the"),
    ],
)  # fmt: skip
def test_lora_files_that_do_not_fit(stable_diffusion, updates, tmp_path, change, message):
    from safetensors.torch import load_file

    saved(tmp_path / "lora.safetensors", updates)
    save_file(change(load_file(tmp_path / "lora.safetensors")), tmp_path / "other.safetensors")
    pipeline = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
    with pytest.raises(ModelError, match=message):
        add_lora(pipeline, load_manifest(tmp_path / "other.safetensors"))


def tiny(path, channels=4, levels=4):
    torch.manual_seed(6)
    blocks = {"encoder_block_out_channels": (8,) * levels, "decoder_block_out_channels": (8,) * levels}
    depth = {"num_encoder_blocks": (1,) * levels, "num_decoder_blocks": (1,) * levels}
    AutoencoderTiny(latent_channels=channels, **blocks, **depth).save_pretrained(path)
    return load_manifest(path)


def test_a_small_decoder_takes_latents_as_the_network_has_them(latents, tmp_path):
    model = tiny(tmp_path / "taesd")
    values, images = latents({"decoder": model})
    assert torch.equal(values, latents()[0])
    network = AutoencoderTiny.from_pretrained(tmp_path / "taesd")
    with torch.no_grad():
        pixels = network.decoder(values)[0]  # -1 to 1, of latents that no factor has scaled
    expected = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(images[0], int) - expected).max() <= 1 and expected.std() > 1


def test_decoders_that_do_not_fit(stable_diffusion, tmp_path):
    pipeline = StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None)
    for made, message in (
        (tiny(tmp_path / "a", channels=16), "16 channels"),
        (tiny(tmp_path / "b", levels=3), "4 pix"),
    ):
        with pytest.raises(ModelError, match=message):
            fit(pipeline, Proxies(), {"decoder": made})
    with pytest.raises(ModelError, match="no AutoencoderTiny could be loaded"):
        fit(pipeline, Proxies(), {"decoder": load_manifest(stable_diffusion / "vae")})
    editing = StableDiffusionInstructPix2PixPipeline(**pipeline.components, requires_safety_checker=False)
    with pytest.raises(ModelError, match="encodes the reference with its own autoencoder"):
        fit(editing, Proxies(), {"decoder": tiny(tmp_path / "c")})
    EDITING["qwen_edit"](stable_diffusion, tmp_path / "qwen")
    parts = DiffusionPipeline.from_pretrained(tmp_path / "qwen").components
    parts.pop("processor")
    with pytest.raises(ModelError, match="decodes the latents of a QwenImagePipeline"):
        fit(QwenImagePipeline(**parts), Proxies(), {"decoder": tiny(tmp_path / "d")})


def test_the_memory_layout_changes_no_picture(latents):
    plain, other = latents()[0], latents(channels_last=True)[0]
    assert (plain - other).abs().max() <= 1e-4 * plain.abs().max()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_layers_compute_the_same(stable_diffusion):
    """They round differently, no more. All are marked; a residual and a feed-forward one are run."""
    plain, other = (StableDiffusionPipeline.from_pretrained(stable_diffusion, safety_checker=None) for _ in range(2))
    fit(other, Proxies(compile=True), {})
    assert sum(layer._compiled_call_impl is not None for layer in other.unet.modules()) == 22 + 16
    source = torch.Generator().manual_seed(1)
    states, embedded = torch.randn(2, 32, 4, 4, generator=source), torch.randn(2, 64, generator=source)
    for name, inputs in (
        ("mid_block.resnets.0", (states, embedded)),
        ("mid_block.attentions.0.transformer_blocks.0.ff", (states.flatten(2).transpose(1, 2),)),
    ):
        with torch.no_grad():
            ours, theirs = (pipeline.unet.get_submodule(name)(*inputs) for pipeline in (other, plain))
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()
