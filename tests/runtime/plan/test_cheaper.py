"""The settings that make a drawing with a layout cheaper: what the plan counts is what torch runs."""

import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file

from ipcir_steps.config import load_config
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.generator import Instance, Task, load_generator
from ipcir_steps.runtime.plan.counting import Counter
from ipcir_steps.runtime.plan.memory import need
from ipcir_steps.runtime.plan.operations import Counts
from ipcir_steps.runtime.plan.work import Typical
from mini_world import models as mini

BOX = (0.25, 0.25, 0.75, 0.75)
NAMES = {"generator": "sd", "migc": "migc", "elite_global": "elite_global", "elite_local": "elite_local",
         "vision": "elite_vision"}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    for name in NAMES.values():
        torch.manual_seed(0)
        mini.BUILDERS[name](directory / name)
    blocks = {"encoder_block_out_channels": (8,) * 3, "decoder_block_out_channels": (8,) * 3}
    AutoencoderTiny(**blocks, num_encoder_blocks=(1,) * 3, num_decoder_blocks=(1,) * 3).save_pretrained(
        directory / "decoder"
    )
    lora = {}
    for name, layer in UNet2DConditionModel.from_pretrained(directory / "sd" / "unet").named_modules():
        if name.endswith(("to_q", "to_k", "to_v", "to_out.0", "net.2", "conv1", "conv2")):
            out, *rest = layer.weight.shape
            lora[f"unet.{name}.lora_A.weight"] = torch.zeros(4, *rest)
            lora[f"unet.{name}.lora_B.weight"] = torch.zeros(out, 4, *[1] * (len(rest) - 1))
    save_file(lora, directory / "lora.safetensors")
    Image.new("RGB", (64, 64), "red").save(directory / "reference.png")
    return directory


def resolved(built, added, **proxies):
    models = {role: {"source": str(built / name)} for role, name in {**NAMES, **added}.items()}
    given = {"count": 2, "proxies_per_batch": 2, "width": 64, "height": 64, "device": "cpu", **proxies}
    own = {"extends": "mini", "models": models, "proxies": given}
    return load_config({"stacks": {"own": own}}).with_stack("own")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("proxies", "added"),
    [
        ({"scheduler": "lcm", "steps": 4, "guidance": 1.0, "migc_until": 0.5}, {}),
        ({"scheduler": "ddim", "steps": 6, "guidance_until": 0.5, "reuse_every": 2}, {"decoder": "decoder"}),
        ({"steps": 3, "migc_steps": 1, "lora_fused": False}, {"lora": "lora.safetensors"}),
        ({"steps": 2, "width": 128, "height": 96}, {"lora": "lora.safetensors"}),
        ({"steps": 3, "migc_steps": 1, "merge_tokens": 0.5, "reuse_every": 2}, {}),
        (
            {"steps": 2, "width": 128, "height": 104, "merge_tokens": 0.75, "lora_fused": False},
            {"lora": "lora.safetensors"},
        ),
    ],
)
def test_counted_as_run(built, proxies, added):
    config = resolved(built, added, **proxies)
    generator = load_generator(
        config.proxies, {role: load_manifest(built / name) for role, name in {**NAMES, **added}.items()}
    )
    instances = (Instance("a red circle", "circle", BOX, from_image=True), Instance("a blue star", "star", BOX))
    with Counter() as counter:
        generator.draw(Task("q", "make it red", "a field", instances, (1, 2), built / "reference.png"))
    (work,) = Counts(config, Typical(instances=2, from_reference=1, box=BOX)).proxies()
    assert work.operations == pytest.approx(counter.total / 2, rel=0.05)


@pytest.mark.slow
def test_each_setting_costs_less(built):
    """Than ten steps with guidance; what a setting saves follows from what it leaves out."""

    def cost(added=None, **proxies):
        config = resolved(built, added or {}, **{"scheduler": "ddim", "steps": 10, **proxies})
        return sum(work.operations for work in Counts(config).proxies())

    whole = cost()
    assert 0.45 < cost(guidance=1.0) / whole < 0.6
    assert 0.7 < cost(guidance_until=0.5) / whole < 0.8
    assert cost(merge_tokens=0.75) < cost(merge_tokens=0.5) < whole
    assert 0.35 < cost(reuse_every=5) / whole < cost(reuse_every=2) / whole < 0.85
    assert 0.18 < cost(steps=2) / whole < 0.3
    assert cost({"decoder": "decoder"}) < whole < cost({"lora": "lora.safetensors"}, lora_fused=False)
    assert cost({"lora": "lora.safetensors"}) == whole


def test_memory_follows_the_settings():
    """At full size, of which nothing is fetched: LoRA weights and a small decoder have a size all the same."""

    def device(models, **proxies):
        own = {"extends": "published", "models": models, "proxies": {"published_gate": False, **proxies}}
        found = need(load_config({"stacks": {"own": own}}).with_stack("own"), "proxies", "cuda")
        assert "unknown" not in found.how
        return found.device

    lora = {"lora": {"source": "latent-consistency/lcm-lora-sdv1-5", "revision": "main"}}
    small = {"decoder": {"source": "madebyollin/taesd", "revision": "main"}}
    whole = device({})
    assert device(lora) == whole + 269e6 / 2
    assert device(small) < whole - 0.1e9 and device(small, guidance=1.0) < device(small) - 0.1e9
    assert device({}, width=256, height=256) < whole - 0.5e9
