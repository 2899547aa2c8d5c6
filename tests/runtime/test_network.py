"""Compute steps reach no network, in Python or below it, except the one server a chat model answers from."""

import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from ipcir_steps.runtime import network

TRY = """
import socket, subprocess, sys
from ipcir_steps.runtime import network
network.refuse({allowed})
def attempt(name, what):
    try:
        what()
        print(name, "reached")
    except OSError as error:
        print(name, "refused:", error)
attempt("name", lambda: socket.create_connection(("example.org", 80), timeout=5))
attempt("address", lambda: socket.create_connection(("127.0.0.1", {port}), timeout=5))
attempt("datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)))
attempt("unix", lambda: socket.socketpair())
code = 'import socket; socket.create_connection(("127.0.0.1", {port}), timeout=5)'
print("child", subprocess.run([sys.executable, "-c", code], capture_output=True).returncode)
"""


@pytest.fixture
def server():
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_POST(self):
            body = json.dumps({"choices": [{"message": {"content": "a red square"}}]}).encode()
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found.server_address[1]
        found.shutdown()


def attempts(allowed, port, **environment):
    code = TRY.format(allowed=allowed, port=port)
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")} | environment
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_nothing_is_reached(server):
    found = attempts("()", server)
    assert found["name"].startswith("refused: looking up example.org is refused: compute steps use no network")
    assert found["address"].startswith("refused:") and found["datagram"].startswith("refused:")
    assert found["unix"] == "reached"
    if sys.platform == "linux":
        assert found["child"] == "1"  # a child process is refused by the kernel


def test_only_the_configured_server_is_reached(server):
    found = attempts({("127.0.0.1", server)}, server)
    assert found["address"] == "reached"
    assert found["name"].startswith("refused:") and found["datagram"].startswith("refused:")
    assert "refused" in attempts({("127.0.0.1", server + 1)}, server)["address"]


def test_the_refusal_can_be_lifted(server):
    assert attempts("()", server, IPCIR_NETWORK="allow")["address"] == "reached"


def test_servers_of_an_address(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert network.servers("http://localhost:8000/v1") == {("localhost", 8000)}
    assert network.servers("https://api.example.org/v1") == {("api.example.org", 443)}
    assert network.servers(None) == set()
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert network.servers("https://api.example.org/v1") == {("proxy", 3128)}


def test_the_commands_refuse_and_a_chat_server_answers(server, tmp_path):
    """The real commands: a generator of one's own that calls out is stopped; reasoning asks its server."""
    (tmp_path / "caller.py").write_text(
        "import urllib.request\n"
        "class Caller:\n"
        "    def __init__(self, settings, models): self.identity = {}\n"
        f"    def draw(self, task): urllib.request.urlopen('http://127.0.0.1:{server}/')\n"
    )
    query = {"query_id": "q", "reference": "a.png", "captions": ["is red"]}
    (tmp_path / "queries.jsonl").write_text(json.dumps(query) + "\n")
    (tmp_path / "layouts.jsonl").write_text('{"query_id": "q", "scene": "s", "instances": []}\n')
    (tmp_path / "captions.jsonl").write_text('{"query_id": "q", "captions": ["a square"]}\n')
    (tmp_path / "masks.jsonl").write_text("")
    (tmp_path / "references.jsonl").write_text('{"name": "a.png", "path": "a.png"}\n')

    def ipcir(*words):
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        paths = os.pathsep.join([str(tmp_path), environment.get("PYTHONPATH", os.getcwd())])
        return subprocess.run(
            [sys.executable, "-m", "ipcir_steps", *words],
            cwd=tmp_path, env=environment | {"PYTHONPATH": paths}, capture_output=True, text=True,
        )  # fmt: skip

    drawn = ipcir(
        "proxies", "--queries", "queries.jsonl", "--layouts", "layouts.jsonl", "--masks", "masks.jsonl",
        "--references", "references.jsonl", "--root", ".", "--images", "p", "--output", "p.jsonl",
        "--settings", '{"generator": "caller:Caller", "width": 64, "height": 64}',
    )  # fmt: skip
    assert drawn.returncode != 0 and "is refused" in drawn.stderr and not (tmp_path / "p.jsonl").exists()
    settings = {"backend": "openai", "base_url": f"http://127.0.0.1:{server}/v1", "served_model": "m"}
    asked = ipcir(
        "reasoning", "--queries", "queries.jsonl", "--captions", "captions.jsonl", "--output", "t.jsonl",
        "--settings", json.dumps(settings),
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert json.loads((tmp_path / "t.jsonl").read_text())["captions"] == ["a red square"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "the machine has free"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "the machine has free"),
        (RuntimeError("shape mismatch"), None),
    ],
)
def test_memory_that_runs_out_is_told_with_a_remedy(error, message):
    from ipcir_steps.cli import out_of_memory

    text = out_of_memory(error)
    assert text is message if message is None else message in text and "embeddings.batch_size" in text


def test_a_full_device_is_told_with_a_remedy():
    import torch

    from ipcir_steps.cli import out_of_memory

    text = out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert "the device has free (CUDA out of memory" in text and "finished work is kept" in text


def test_a_command_that_listens_answers_but_reaches_nothing():
    """What came in before the refusal is answered; nothing goes out, not even to this machine."""
    script = """
import socket, threading
from ipcir_steps.runtime import network
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
network.refuse(listens=True)
answered, _ = server.accept()
answered.sendall(b"hello")
print(client.recv(5).decode())
for attempt in (lambda: socket.create_connection(("127.0.0.1", server.getsockname()[1])),
                lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
                lambda: socket.getaddrinfo("example.org", 80)):
    try:
        attempt()
        print("reached")
    except OSError:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["hello", "refused", "refused", "refused"], done.stderr


ENCLOSED = """
import socket, subprocess, sys, time
from ipcir_steps.runtime import network
assert network._enclose(), "no network of its own"
code = "import socket; s = socket.create_server(('127.0.0.1', 8123)); s.accept()[0].sendall(b'own')"
server = subprocess.Popen([sys.executable, "-c", code])
for _ in range(100):
    try:
        print(socket.create_connection(("127.0.0.1", 8123), timeout=5).recv(3).decode())
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=5)
    print("reached")
except OSError:
    print("refused")
code = 'import socket; socket.create_connection(("192.0.2.1", 80), timeout=5)'
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip().splitlines()[-1])
"""


def test_an_enclosed_step_reaches_its_own_server_and_no_other(server):
    """Not even another server on this machine, and its children reach nothing either."""
    code = ENCLOSED.format(port=server)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    if "no network of its own" in done.stderr:
        pytest.skip("this system gives a process no network of its own")
    assert done.stdout.splitlines() == ["own", "refused", "OSError: [Errno 101] Network is unreachable"], done.stderr
