"""Fetching: a snapshot at its commit, every file compared with the hub's digest, and digests of one's own."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import check, describe, load_manifest
from ipcir_steps.runtime.models import fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b'{"width": 8}\n', "weights.safetensors": bytes(range(256)) * 40}


def blob(content):
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


@pytest.fixture
def hub():
    """A model hub with one model, in the form that huggingface_hub asks for; ``sent`` is what it really sends."""
    sent = dict(FILES)

    class Hub(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.path.split("?")[0]
            if path.startswith("/api/models/me/model/tree/"):
                entries = []
                for name, content in FILES.items():
                    entry = {"type": "file", "path": name, "size": len(content), "oid": blob(content)}
                    if name.endswith(".safetensors"):
                        digest = hashlib.sha256(content).hexdigest()
                        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
                    entries.append(entry)
                return self.answer(json.dumps(entries).encode())
            if path.startswith("/api/models/me/model"):
                siblings = []
                for name, content in FILES.items():
                    entry = {"rfilename": name, "size": len(content), "blobId": blob(content)}
                    if name.endswith(".safetensors"):
                        digest = hashlib.sha256(content).hexdigest()
                        entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
                    siblings.append(entry)
                return self.answer(json.dumps({"id": "me/model", "sha": COMMIT, "siblings": siblings}).encode())
            name = path.rpartition("/")[2]
            if path != f"/me/model/resolve/{COMMIT}/{name}" or name not in sent:
                return self.send_error(404)
            return self.answer(sent[name], etag=hashlib.sha256(FILES[name]).hexdigest())

        def answer(self, content, etag="x"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
        server.shutdown()


def models(endpoint, directory, *more, offline="0"):
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": offline, "HF_HOME": str(directory / "home")}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "ipcir_steps", "models", "--name", "m", "--source", "me/model"]
    command += ["--directory", str(directory / "m"), "--output", str(directory / "m.json"), *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_snapshot_is_pinned_to_its_commit_and_recorded(hub, tmp_path):
    endpoint, _ = hub
    done = models(endpoint, tmp_path, "--revision", "main")
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(tmp_path / "m.json")
    assert manifest.revision == COMMIT and manifest.source == "me/model"
    assert manifest.files == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    assert list(check(manifest)) == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_the_hubs_is_refused(hub, tmp_path, name):
    endpoint, sent = hub
    sent[name] = FILES[name][:-1] + b"!"
    done = models(endpoint, tmp_path, "--revision", "main")
    assert done.returncode != 0 and not (tmp_path / "m.json").exists()
    assert name in done.stderr or "Consistency check" in done.stderr


def test_without_a_network_the_remedy_is_told(tmp_path):
    done = models("http://127.0.0.1:9", tmp_path, "--revision", "main", offline="1")
    assert done.returncode == 2 and "Run `snakemake prefetch` where there is a network" in done.stderr
    done = models("http://127.0.0.1:9", tmp_path)
    assert done.returncode == 2 and "needs a pinned revision" in done.stderr


def test_a_digest_of_ones_own_is_held(tmp_path):
    file = tmp_path / "migc.ckpt"
    file.write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    assert fetch("migc", str(file), None, tmp_path / "d", right).files == {"migc.ckpt": right}
    with pytest.raises(ModelError, match=rf"has sha256 {right}, not {'0' * 64} \(models.migc.sha256\)"):
        fetch("migc", str(file), None, tmp_path / "d", "0" * 64)
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/a").write_bytes(b"a")
    digest = describe("x", "dir", tmp_path / "dir").digest
    assert fetch("x", str(tmp_path / "dir"), None, tmp_path / "d", digest).digest == digest
    with pytest.raises(ModelError, match="not"):
        fetch("x", str(tmp_path / "dir"), None, tmp_path / "d", right)
