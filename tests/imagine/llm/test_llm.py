"""The OpenAI-compatible backend against a real HTTP server on loopback that misbehaves, and the answer cache."""

import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ipcir_steps.cli import main
from ipcir_steps.config.language import LLM
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import InputError, ModelError, StepFailure
from ipcir_steps.core.files import read_jsonl, write_jsonl
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.imagine.llm import Group, open_llm, speed

KEY = "sk-a-key-of-this-test"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append((self.path, body, self.headers.get("Authorization")))
            number = len(self.server.requests)
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
        try:
            self.server.behave(self, body, number)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def reply(self, status=200, content=b"{}", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def complete(self, text):
        answer = {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"completion_tokens": 5}}
        self.reply(content=json.dumps(answer).encode())

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(behave):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.requests, server.lock, server.behave = [], threading.Lock(), behave
    server.under_way = server.most_under_way = 0
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def echo(handler, body, number):
    handler.complete("echo " + body["messages"][-1]["content"])


def settings(url, **changes) -> LLM:
    values = {"backend": "openai", "base_url": url, "served_model": "tiny", "timeout": 5.0, "attempts": 3}
    return LLM(**{**values, "longest_wait": 0.02, **changes})


def group(*texts, seed=1, schema=None) -> Group:
    return Group([[{"role": "user", "content": text}] for text in texts], seed, schema)


def test_answers_come_back_in_order_with_bounded_concurrency():
    def slowly(handler, body, number):
        time.sleep(0.02 * (number % 3))
        echo(handler, body, number)

    with serve(slowly) as server:
        backend = open_llm(settings(server.url, concurrency=3), None, None)
        groups = [group(*(f"{g}-{i}" for i in range(4))) for g in range(5)]
        assert backend.answer(groups) == [[f"echo {g}-{i}" for i in range(4)] for g in range(5)]
        assert 1 < server.most_under_way <= 3
        assert len({body["seed"] for _, body, _ in server.requests}) == 4
        assert {path for path, _, _ in server.requests} == {"/v1/chat/completions"}
        assert backend.tokens == 100 and speed(backend)()["tokens/s"] >= 100


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        ("json_schema", {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": {"a": 1}}}),
        ("json_object", {"type": "json_object", "schema": {"a": 1}}),
        ("none", None),
    ],
)
def test_the_schema_is_sent(form, sent):
    with serve(echo) as server:
        open_llm(settings(server.url, response_format=form), None, None).answer([group("x", schema={"a": 1})])
        assert server.requests[0][1].get("response_format") == sent


def drip(handler, body, number):
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        time.sleep(0.05)


FAULTS = {
    "status 500": lambda handler, body, number: handler.reply(500),
    "status 503": lambda handler, body, number: handler.reply(503, b"<html>"),
    "status 429": lambda handler, body, number: handler.reply(429, Retry_After="0"),
    "no chat completion": lambda handler, body, number: handler.reply(content=b'{"choices": [{"mess'),
    "is no chat": lambda handler, body, number: handler.reply(content=b'{"choices": []}'),
    "has no text": lambda handler, body, number: handler.complete(None),
    "RemoteProtocolError": lambda handler, body, number: handler.connection.shutdown(socket.SHUT_RDWR),
    "no answer within": lambda handler, body, number: time.sleep(1),
    "no whole answer within": drip,
}


@pytest.mark.parametrize("problem", FAULTS)
def test_a_lasting_fault_is_tried_a_bounded_number_of_times_and_recorded(problem, slowness):
    with serve(FAULTS[problem]) as server:
        start = time.monotonic()
        [failure] = open_llm(settings(server.url, timeout=0.3), None, None).answer([group("x")])
        assert isinstance(failure, StepFailure) and problem in str(failure) and "3 attempts" in str(failure)
        assert len(server.requests) == 3 and time.monotonic() - start < 4 * slowness


@pytest.mark.parametrize("problem", FAULTS)
def test_a_passing_fault_is_survived(problem):
    def once(handler, body, number):
        (FAULTS[problem] if number == 1 else echo)(handler, body, number)

    with serve(once) as server:
        assert open_llm(settings(server.url, timeout=0.3), None, None).answer([group("x")]) == [["echo x"]]
        assert len(server.requests) == 2


def test_a_refused_connection_is_recorded():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        [failure] = open_llm(settings(url), None, None).answer([group("x")])
    assert isinstance(failure, StepFailure) and "ConnectError" in str(failure)


def test_retry_after_is_obeyed_up_to_the_longest_wait(slowness):
    def once(handler, body, number):
        handler.reply(429, Retry_After="0.4" if number == 1 else "1000") if number < 3 else echo(handler, body, number)

    with serve(once) as server:
        start = time.monotonic()
        answers = open_llm(settings(server.url, longest_wait=0.7), None, None).answer([group("x")])
        assert answers == [["echo x"]] and 1.1 <= time.monotonic() - start < 3 * slowness


def test_one_failing_request_fails_its_group_alone():
    def picky(handler, body, number):
        bad = body["messages"][-1]["content"] == "bad"
        handler.reply(500) if bad else echo(handler, body, number)

    with serve(picky) as server:
        results = open_llm(settings(server.url), None, None).answer([group("a", "bad"), group("b")])
    assert isinstance(results[0], StepFailure) and results[1] == ["echo b"]


def test_a_refusal_stops_the_step_at_once_and_never_shows_the_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve(lambda handler, body, number: handler.reply(401, b"wrong key")) as server:
        with pytest.raises(ModelError, match="401: wrong key") as caught:
            open_llm(settings(server.url), None, None).answer([group("x")])
        assert len(server.requests) == 1 and KEY not in str(caught.value)


def test_settings_that_are_needed_are_named():
    with pytest.raises(InputError, match="base_url"):
        open_llm(settings(None), None, None)
    with pytest.raises(InputError, match="--model"):
        open_llm(LLM(), None, None)


def test_a_damaged_cache_entry_is_asked_again(tmp_path):
    cache = Cache(tmp_path)
    cache.put(["model", "prompt", 1], "answer")
    assert cache.get(["model", "prompt", 1]) == "answer" and cache.get(["model", "prompt", 2]) is None
    [file] = tmp_path.rglob("*.json")
    file.write_text('"answ')
    assert cache.get(["model", "prompt", 1]) is None


@pytest.fixture
def command(tmp_path):
    queries = [Query(f"q{n}", "r", (f"is {n}",)) for n in range(6)]
    write_records(tmp_path / "queries.jsonl", queries)
    write_jsonl(tmp_path / "captions.jsonl", [{"query_id": q.query_id, "captions": ["a", "b"]} for q in queries])
    return lambda url, output: [
        *("reasoning", "--queries", str(tmp_path / "queries.jsonl"), "--captions", str(tmp_path / "captions.jsonl")),
        *("--cache", str(tmp_path / "cache"), "--output", str(tmp_path / output)),
        *("--settings", settings(url, concurrency=1).model_copy(update={"max_new_tokens": 9}).model_dump_json()),
    ]


def test_a_killed_step_asks_only_for_what_is_missing(tmp_path, command, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    stuck = threading.Event()

    def until_the_sixth(handler, body, number):
        if number == 6:
            stuck.set()
            time.sleep(3)
        else:
            echo(handler, body, number)

    root = Path(__file__).resolve().parents[3]
    with serve(until_the_sixth) as server:
        arguments = [sys.executable, "-m", "ipcir_steps", *command(server.url, "targets.jsonl")]
        process = subprocess.Popen(arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
        assert stuck.wait(60)
        process.kill()
        process.wait()
        assert not (tmp_path / "targets.jsonl").exists()
        assert main(command(server.url, "targets.jsonl")) == 0
        assert len(server.requests) == 12 + 1, "twelve answers, and the one that was cut off"
        assert {key for _, _, key in server.requests} == {f"Bearer {KEY}"}
        assert len(read_jsonl(tmp_path / "targets.jsonl")) == 6
        assert main(command(server.url, "again.jsonl")) == 0
        assert len(server.requests) == 13, "a rerun asks nothing twice"
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "targets.jsonl").read_bytes()
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_server_that_stays_down_is_recorded_per_query(tmp_path, command):
    with serve(FAULTS["status 500"]) as server:
        assert main(command(server.url, "targets.jsonl")) == 0
    records = read_jsonl(tmp_path / "targets.jsonl")
    assert len(records) == 6 and all("status 500" in record["failure"] for record in records)
