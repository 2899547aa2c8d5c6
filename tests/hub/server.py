"""A model hub on loopback, with what huggingface_hub asks for: a repository's list of files, and files by commit.

Large files are redirected to a second address, as the real hub sends them to its storage. It counts what it sends and
can be made to refuse, to break off, or to stand still.
"""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".ckpt", ".pt", ".h5", ".msgpack", ".gguf")
PIECE = 1 << 14


def commit_of(files: dict[str, bytes]) -> str:
    described = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return hashlib.sha1(json.dumps(described, sort_keys=True).encode()).hexdigest()


def blob_of(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


@dataclasses.dataclass
class Hub:
    """repositories: files by name. A test changes any of the others to see what happens then.

    sent: bytes of bodies by (repository, file). damaged: what is sent in place of a file. limit: bytes after which
    everything stands still until ``released``. breaks: how often a connection is to end in the middle. status: answer
    (code, headers) to every question about a repository. gated: repositories whose files need ``token``. absent: files
    that are listed only. page: what is answered to everything. tokens: what each address was sent. strange: other
    questions.
    """

    repositories: dict[str, dict[str, bytes]]
    sent: Counter = dataclasses.field(default_factory=Counter)
    damaged: dict[tuple[str, str], bytes] = dataclasses.field(default_factory=dict)
    sizes: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    status: dict[str, tuple[int, dict[str, str]]] = dataclasses.field(default_factory=dict)
    page: str | None = None
    gated: set[str] = dataclasses.field(default_factory=set)
    absent: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    token: str = "hf_right"
    ranges: bool = True
    breaks: int = 0
    limit: int | None = None
    reached: threading.Event = dataclasses.field(default_factory=threading.Event)
    released: threading.Event = dataclasses.field(default_factory=threading.Event)
    tokens: dict[str, set[str | None]] = dataclasses.field(default_factory=lambda: {"hub": set(), "storage": set()})
    strange: list[str] = dataclasses.field(default_factory=list)
    address: str = ""
    storage: str = ""

    def hold_at(self, limit: int) -> None:
        """Stand still once ``limit`` more bytes have been sent."""
        self.reached.clear()
        self.released.clear()
        self.limit = sum(self.sent.values()) + limit

    def release(self) -> None:
        self.limit = None
        self.released.set()

    def fetch(self, *words: str, home: Path, token: str | None = None, **more) -> subprocess.CompletedProcess:
        """``ipcir models`` with these words, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "ipcir_steps", "models", *map(str, words)],
            env=self.environment(home, token), capture_output=True, text=True, timeout=300, **more,
        )  # fmt: skip

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != "HF_TOKEN"}
        own = {"HF_ENDPOINT": self.address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home)}
        return kept | own | ({"HF_TOKEN": token} if token else {})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    place: str

    def log_message(self, *args):
        pass

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        bearer = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.tokens[self.place].add(bearer)
        if self.hub.page is not None:
            return self.answer(self.hub.page.encode(), {"Content-Type": "text/html"})
        if match := re.fullmatch(r"/api/models/(.+)/revision/([^/]+)", path):
            return self.described(*match.groups())
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.file(*match.groups(), bearer)
        self.hub.strange.append(path)
        return self.refuse(404, {})

    def described(self, repository, revision):
        if repository in self.hub.status:
            return self.refuse(*self.hub.status[repository])
        files = self.hub.repositories.get(repository)
        if files is None:
            return self.refuse(404, {"X-Error-Code": "RepoNotFound"})
        commit = commit_of(files)
        if revision not in (commit, "main"):
            return self.refuse(404, {"X-Error-Code": "RevisionNotFound"})
        siblings = []
        for name, content in files.items():
            size = self.hub.sizes.get((repository, name), len(content))
            entry = {"rfilename": name, "size": size, "blobId": blob_of(content)}
            if name.endswith(LARGE):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": size, "pointerSize": 130}
            siblings.append(entry)
        return self.answer(json.dumps({"id": repository, "sha": commit, "siblings": siblings}).encode())

    def file(self, repository, commit, name, bearer):
        files = self.hub.repositories.get(repository, {})
        if name not in files or commit != commit_of(files) or (repository, name) in self.hub.absent:
            return self.refuse(404, {"X-Error-Code": "EntryNotFound"})
        if self.place == "hub" and repository in self.hub.gated and bearer != self.hub.token:
            return self.refuse(401 if bearer is None else 403, {"X-Error-Code": "GatedRepo"})
        digest = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(files[name]))}
        if self.place == "hub" and name.endswith(LARGE):
            self.send_response(302)
            self.send_header("Location", self.hub.storage + self.path)
            self.send_header("Content-Length", "0")
            for header in digest.items():
                self.send_header(*header)
            return self.end_headers()
        content = self.hub.damaged.get((repository, name), files[name])
        return self.answer(content, digest, (repository, name))

    def refuse(self, code, headers):
        self.send_response(code)
        for header in {**headers, "Content-Length": "0"}.items():
            self.send_header(*header)
        self.end_headers()

    def answer(self, content, headers=None, counted=None):
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "") if self.hub.ranges else None
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        for header in (headers or {}).items():
            self.send_header(*header)
        self.end_headers()
        for place in range(start, len(content), PIECE):
            if counted:
                self.watch(place > start)
            piece = content[place : place + PIECE]
            self.wfile.write(piece)
            if counted:
                self.hub.sent[counted] += len(piece)

    def watch(self, begun):
        """Before each piece of a file: whether to stand still or to break off."""
        hub = self.hub
        if hub.limit is not None and sum(hub.sent.values()) >= hub.limit:
            hub.reached.set()
            hub.released.wait(60)
        if hub.breaks and begun:
            hub.breaks -= 1
            raise ConnectionResetError


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A process that was killed in the middle is no error."""


@contextlib.contextmanager
def serve(repositories: dict[str, dict[str, bytes]]) -> Iterator[Hub]:
    hub = Hub(repositories)
    servers = []
    for place in ("hub", "storage"):
        server = Server(("127.0.0.1", 0), type(place, (Handler,), {"hub": hub, "place": place}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    hub.address, hub.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield hub
    finally:
        hub.release()
        for server in servers:
            server.shutdown()
            server.server_close()
