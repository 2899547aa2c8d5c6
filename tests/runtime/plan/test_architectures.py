"""The shipped architectures are those of the published models: the numbers of their weights say so."""

import json
import math

import pytest
import torch

from ipcir_steps.config.stack import builtin
from ipcir_steps.runtime.plan import architectures
from ipcir_steps.runtime.plan.weights import BY_HAND, weights

ROLES = {
    "Salesforce/blip2-opt-6.7b-coco": ("captioner", 7.75e9),
    "Qwen/Qwen1.5-32B-Chat-GPTQ-Int4": ("llm", 32.5e9),
    "Qwen/Qwen1.5-32B-Chat": ("llm", 32.5e9),
    "Qwen/Qwen3-4B-Instruct-2507": ("llm", 4.02e9),
    "IDEA-Research/grounding-dino-tiny": ("detector", 172e6),
    "IDEA-Research/grounding-dino-base": ("detector", 232e6),
    "facebook/sam-vit-huge": ("segmenter", 641e6),
    "facebook/sam-vit-base": ("segmenter", 93.7e6),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": ("generator", (860 + 83.7 + 123) * 1e6),
    "stabilityai/sd-turbo": ("generator", (866 + 83.7 + 340) * 1e6),
    "madebyollin/taesd": ("decoder", 2.445e6),
    "timm/vit_base_patch32_clip_224.openai": ("clip", 151e6),
    "timm/vit_large_patch14_clip_224.openai": ("clip", 428e6),
    "laion/CLIP-ViT-g-14-laion2B-s12B-b42K": ("clip", 1.367e9),
    "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k": ("clip", 2.54e9),
}


def numbers(model) -> int:
    """Of the weights that a checkpoint holds: tied ones count once."""
    return sum(math.prod(p.shape) for p in model.parameters()) + sum(
        math.prod(value.shape) for name, value in model.state_dict().items() if name in dict(model.named_buffers())
    )


@pytest.mark.parametrize("source", ROLES)
def test_the_classes_have_as_many_weights_as_was_published(source):
    role, published = ROLES[source]
    known = architectures.find(role, source)
    assert sum(known.parameters.values()) == pytest.approx(published, rel=0.01)
    for part, config in known.parts.items():
        model = architectures.build(role, part, config)
        assert {p.device.type for p in model.parameters()} == {"meta"}
        assert numbers(model) == known.parameters[part]


def test_every_model_of_the_built_in_stacks_has_a_size():
    for name, stack in builtin().items():
        if name.startswith("mini"):
            continue
        for role, model in stack["models"].items():
            assert weights(role, model["source"]), (name, role)
        for model in stack["clip"].values():
            assert weights("clip", model["source"])


def test_published_files():
    assert weights("llm", "Qwen/Qwen1.5-32B-Chat-GPTQ-Int4").stored == pytest.approx(19.4e9, rel=0.02)
    assert weights("captioner", "Salesforce/blip2-opt-6.7b-coco").stored == pytest.approx(31e9, rel=0.01)
    sd = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert weights("generator", sd, dtype="float32").stored == 2 * weights("generator", sd, dtype="auto").stored


def test_models_that_are_on_no_hub_are_as_large_as_their_classes():
    from ipcir_steps.imagine.proxies.elite import GlobalMapper
    from ipcir_steps.imagine.proxies.migc import MIGC

    unet = architectures.build(
        "generator", "unet", architectures.find("generator", "runwayml/stable-diffusion-v1-5").parts["unet"]
    )
    with torch.device("meta"):
        block, mapper = MIGC(1280), GlobalMapper()
    projections = sum(
        math.prod(getattr(module, part).weight.shape)
        for name, module in unet.named_modules()
        if name.endswith("attn2")
        for part in ("to_k", "to_v")
    )
    assert BY_HAND["migc"] == pytest.approx(4 * 4 * numbers(block), rel=0.01)
    assert BY_HAND["elite_global"] == pytest.approx(4 * (numbers(mapper) + projections), rel=0.01)


def test_a_model_of_ones_own_is_read_from_its_directory(tmp_path):
    config = architectures.find("segmenter", "facebook/sam-vit-base").parts["model"]
    own = {**config, "vision_config": {**config["vision_config"], "num_hidden_layers": 3}}
    (tmp_path / "config.json").write_text(json.dumps(own))
    found = architectures.find("segmenter", str(tmp_path))
    assert found.parts["model"]["vision_config"]["num_hidden_layers"] == 3 and not found.parameters
    assert architectures.find("segmenter", "someone/unheard-of") is None
