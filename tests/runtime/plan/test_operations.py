"""What the plan counts on the meta device is what torch runs, within 5 %, and what the literature says at full size."""

import random
import shutil

import PIL.Image
import pytest
import torch
from transformers import CLIPTokenizer

from ipcir_steps.config import load_config
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.runtime.plan.counting import Counter
from ipcir_steps.runtime.plan.operations import Counts, detecting, segmenting
from ipcir_steps.runtime.plan.work import Typical, counted, decoding
from mini_world import models as mini
from mini_world.render import draw
from mini_world.world import random_scene
from tests.hub import captioners
from tests.hub.pipelines import DRAWING, EDITING

BOX = (0.25, 0.25, 0.75, 0.75)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The mini world's models, untrained: they never end a text by themselves."""
    directory = tmp_path_factory.mktemp("models")
    for name in ("blip2", "qwen", "clip", "sam", "grounding_dino", "sd", "migc", "elite_global", "elite_local",
                 "elite_vision"):  # fmt: skip
        torch.manual_seed(0)
        mini.BUILDERS[name](directory / name)
    return directory


@pytest.fixture(scope="module")
def config(built):
    roles = {"captioner": "blip2", "llm": "qwen", "detector": "grounding_dino", "segmenter": "sam", "generator": "sd",
             "migc": "migc", "elite_global": "elite_global", "elite_local": "elite_local",
             "vision": "elite_vision"}  # fmt: skip
    stack = {
        "extends": "mini",
        "models": {role: {"source": str(built / name)} for role, name in roles.items()},
        "clip": {"mini": {"source": str(built / "clip")}},
        "captions": {"count": 3, "max_new_tokens": 7},
        "proxies": {"count": 2, "proxies_per_batch": 2, "steps": 4, "migc_steps": 1, "width": 64, "height": 64,
                    "guidance": 7.5},
        "embeddings": {"batch_size": 4},
    }  # fmt: skip
    return load_config({"stacks": {"own": stack}}).with_stack("own")


@pytest.fixture(scope="module")
def counts(config):
    return Counts(config, Typical(caption_tokens=7, instances=2, from_reference=1, box=BOX))


def total(works) -> float:
    return sum(work.operations for work in works)


def test_captions(built, config, counts):
    from ipcir_steps.imagine.captions import captioner

    caption = captioner(built / "blip2", config.captions)
    with Counter() as counter:
        caption(draw(random_scene(random.Random(0))), 0)
    assert total(counts.captions()) == pytest.approx(counter.total, rel=0.05)


def test_the_language_model(built, counts):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(built / "qwen").eval()
    ids = torch.randint(5, 100, (3, 40))
    with torch.inference_mode(), Counter() as counter:
        model.generate(input_ids=ids, max_new_tokens=9, min_new_tokens=9, do_sample=False, pad_token_id=0)
    assert sum(decoding(counts.model("llm"), 3, 40, 9)) == pytest.approx(counter.total, rel=0.05)


@pytest.mark.parametrize("prompt", ["seeing_reasoning", "reasoning"])
def test_a_chat_model_with_and_without_a_picture(config, prompt, tmp_path):
    """The vision tower, the prompt once, then the answers: counted as they run."""
    from ipcir_steps.imagine.llm import Group, open_llm
    from ipcir_steps.imagine.llm.pictures import Picture
    from ipcir_steps.imagine.llm.prompts import load_prompt

    captioners.qwen_vl(tmp_path)
    asked = {"prompt": prompt, "max_new_tokens": 9}
    stack = {"extends": "mini", "models": {"llm": {"source": str(tmp_path)}}, "captions": {"count": 3}}
    config = load_config({"stacks": {"own": {**stack, "reasoning": asked}}}).with_stack("own")
    read, image = load_prompt(prompt), PIL.Image.effect_noise((640, 480), 90).convert("RGB")
    picture = Picture.of(image, read.longest) if read.sees else None
    conversation = read.render(caption="a dog", relative_caption="is black")
    backend = open_llm(config.reasoning, tmp_path, None, read.sees)
    with Counter() as counter:
        backend.answer([Group([conversation] * 3, 1, picture=picture)])
    words = len(backend.engine.loaded[1](" ".join(m["content"] for m in conversation))["input_ids"])
    letters = sum(len(content) for _, content in read.messages)
    typical = Typical(answer_tokens=9, source_tokens=words - letters // 4, request_tokens=0)  # its own tokenizer
    [work] = Counts(config, typical).reasoning()
    assert work.operations == pytest.approx(counter.total, rel=0.1)


def test_a_prompt_whose_beginning_is_known_costs_less(counts):
    model = counts.model("llm")
    whole, rest = decoding(model, 2, 60, 1)[0], decoding(model, 2, 20, 1, shared=40)[0]
    assert 0.3 < rest / whole < 0.4


def test_features(built, config, counts):
    from ipcir_steps.seek.embeddings.clip import load_encoder

    encoder = load_encoder(built / "clip", config.embeddings)
    pixels = torch.randn(4, 3, 64, 64)
    for run, planned in (
        (lambda: encoder.pixels(pixels), counts.image),
        (lambda: encoder.texts(["x"] * 4), counts.text),
    ):
        with Counter() as counter:
            run()
        assert total(planned("mini")) == pytest.approx(counter.total / 4, rel=0.05)


def test_proxies(built, config, counts):
    """Two images with two instances, one from the reference, through MIGC, the naive fuser, ELITE and the decoder."""
    from PIL import Image

    from ipcir_steps.imagine.proxies.generator import Instance, Task
    from ipcir_steps.imagine.proxies.migc_generator import MIGCGenerator

    names = {"generator": "sd", "migc": "migc", "elite_global": "elite_global", "elite_local": "elite_local",
             "vision": "elite_vision"}  # fmt: skip
    settings = config.proxies.model_copy(update={"unmasked": "whole image"})
    generator = MIGCGenerator(settings, {role: load_manifest(built / name) for role, name in names.items()})
    picture = built / "reference.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    instances = (Instance("a red circle", "circle", BOX, from_image=True), Instance("a blue star", "star", BOX))
    task = Task("q", "make it red", "a field", instances, (1, 2), picture)
    with Counter() as counter:
        generator.draw(task)
    assert total(counts.proxies()) == pytest.approx(counter.total / 2, rel=0.05)


def sdxl(sd, directory):
    """With texts as long as those of SDXL."""
    DRAWING["sdxl"](CLIPTokenizer.from_pretrained(sd / "tokenizer", model_max_length=77), directory)


PIPELINES = {
    "text_to_image": shutil.copytree,
    "text_to_image: SDXL": sdxl,
    "image_editing": EDITING["instruct_pix2pix"],
}


def drawn_by(directory, generator, **proxies):
    """(counts, their configuration) of a generator that draws two images."""
    own = {
        "extends": "mini", "models": {"generator": {"source": str(directory)}},
        "proxies": {"generator": generator, "count": 2, "steps": 3, "width": 64, "height": 48, **proxies},
    }  # fmt: skip
    config = load_config({"stacks": {"own": own}}).with_stack("own")
    return Counts(config), config.proxies


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("name", PIPELINES)
def test_generators_without_a_layout(built, tmp_path, name, guidance):
    """The scheduler is one that runs the U-Net once per step."""
    from diffusers import EulerDiscreteScheduler
    from PIL import Image

    from ipcir_steps.imagine.proxies.generator import Task, load_generator

    PIPELINES[name](built / "sd", tmp_path / "model")
    counts, settings = drawn_by(tmp_path / "model", name.partition(":")[0], guidance=guidance)
    generator = load_generator(settings, {"generator": load_manifest(tmp_path / "model")})
    generator.pipeline.scheduler = EulerDiscreteScheduler.from_config(generator.pipeline.scheduler.config)
    Image.new("RGB", (80, 64), "red").save(tmp_path / "reference.png")
    with Counter() as counter:
        generator.draw(Task("q", "make it red", "a field", (), (1, 2), tmp_path / "reference.png"))
    assert total(counts.proxies()) == pytest.approx(counter.total / 2, rel=0.05)


@pytest.mark.parametrize("role", ["detector", "segmenter"])
def test_masks(counts, role):
    """On the same pixels: at this size a picture is scaled as published."""
    model = counts.model(role)
    planned = (detecting if role == "detector" else segmenting)(model, (480, 640))
    real = type(model)(model.config).eval()
    if role == "detector":
        words = torch.full((1, 4), 1010)
        inputs = {"pixel_values": torch.rand(1, 3, 800, 1067), "input_ids": words,
                  "attention_mask": torch.ones_like(words), "token_type_ids": torch.zeros_like(words)}  # fmt: skip
    else:
        side = model.config.vision_config.image_size
        inputs = {"pixel_values": torch.rand(1, 3, side, side), "input_boxes": torch.tensor([[[1.0, 1.0, 9.0, 9.0]]]),
                  "multimask_output": False}  # fmt: skip
    assert planned == pytest.approx(counted(lambda: real(**inputs))[1], rel=0.05)


@pytest.fixture(scope="module")
def full():
    return Counts(load_config({}).with_stack("published"))


def test_clip_at_full_size(full):
    """OpenAI's ViT-L/14: 81 billion multiplications a picture, 6.6 a text."""
    assert total(full.image("ViT-L-14")) == pytest.approx(2 * 81e9, rel=0.05)
    assert total(full.text("ViT-L-14")) == pytest.approx(2 * 6.6e9, rel=0.05)


def test_the_language_model_at_full_size(full):
    """Two operations for each weight of the layers and token, and what attention adds."""
    first, later = decoding(full.model("llm"), 4, 100, 11)
    layers = 32_512_218_112 - 2 * 152_064 * 5120
    head = 2 * 152_064 * 5120
    assert first == pytest.approx(4 * (100 * 2 * layers + head), rel=0.05)
    assert later == pytest.approx(10 * 4 * (2 * layers + head), rel=0.05)


def test_the_u_net_at_full_size(full):
    """Stable Diffusion 1.5 at 512 px: about 400 billion multiplications, attention included, in each half of a step."""
    from ipcir_steps.runtime.plan.diffusion import decoder, unet_step

    assert unet_step(full, full.model("generator", "unet"), 2) == pytest.approx(2 * 2 * 402e9, rel=0.05)
    assert decoder(full) == pytest.approx(2 * 1.26e12, rel=0.05)


@pytest.mark.parametrize("source", sorted(captioners.BUILDERS))
def test_captioners_of_the_other_stacks(tmp_path, source):
    """The real classes in small, through the step's own captioner; they never end a text by themselves."""
    from PIL import Image

    from ipcir_steps.imagine.captions import captioner

    captioners.BUILDERS[source](tmp_path / "captioner")
    own = {
        "extends": "mini", "models": {"captioner": {"source": str(tmp_path / "captioner")}},
        "captions": {"count": 3, "max_new_tokens": 7, "prompt": ""},
    }  # fmt: skip
    config = load_config({"stacks": {"own": own}}).with_stack("own")
    counts = Counts(config, Typical(caption_tokens=7, picture=(240, 320)))
    caption = captioner(tmp_path / "captioner", config.captions)
    with Counter() as counter:
        caption(Image.new("RGB", (320, 240), "red"), 0)
    assert total(counts.captions()) == pytest.approx(counter.total, rel=0.05)
