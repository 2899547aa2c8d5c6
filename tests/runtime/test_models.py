"""Fetching: what is told before, a snapshot at its commit, every digest, and a branch that moves."""

import hashlib
import sys

import pytest

from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import check, describe, load_manifest
from ipcir_steps.runtime.models import Request, fetch
from tests.hub.opened import opened
from tests.hub.server import commit_of
from tests.runtime.fetching import FILES, WANTED, models, refused


def test_a_snapshot_is_pinned_to_its_commit_and_its_size_told_before(small, tmp_path):
    done = models(small, tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(tmp_path / "m.json")
    assert manifest.revision == commit_of(FILES) and manifest.source == "me/model" and manifest.asked == "main"
    assert manifest.files == {name: hashlib.sha256(FILES[name]).hexdigest() for name in WANTED}
    assert list(check(manifest)) == []
    told = f"m: 102.4 kB in 2 files of me/model at commit {commit_of(FILES)}, 102.4 kB of them to fetch"
    assert told in done.stderr
    assert models(small, tmp_path, revision=commit_of(FILES)).returncode == 0
    assert load_manifest(tmp_path / "m.json").asked is None, "a commit cannot move"
    assert sum(small.sent.values()) == sum(len(FILES[name]) for name in WANTED), "nothing was fetched twice"


def test_sizes_are_listed_without_fetching(small, tmp_path):
    done = models(small, tmp_path, "me/model", "--sizes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "             13  config.json",
        "        102,400  model.safetensors",
        f"        102,413  102.4 kB of me/model at commit {commit_of(FILES)}, 2 files",
    ]
    assert not small.sent and not (tmp_path / "m.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells which files are opened on Linux only")
def test_what_was_just_verified_is_not_read_again(small, tmp_path):
    assert models(small, tmp_path).returncode == 0
    with opened(tmp_path / "m") as files:
        load_manifest(tmp_path / "m.json")
    assert not files
    (tmp_path / "m/model.safetensors").write_bytes(b"x" * 102400)
    with pytest.raises(ModelError, match="has changed since it was recorded"):
        load_manifest(tmp_path / "m.json")


@pytest.mark.parametrize("name", WANTED)
def test_a_file_that_is_not_the_hubs_is_refused_and_fetched_anew(small, tmp_path, name):
    small.damaged["me/model", name] = FILES[name][:-1] + b"!"
    message = refused(small, tmp_path)
    assert f"{name} of me/model@{commit_of(FILES)} did not arrive as the hub describes it" in message
    small.damaged.clear()
    assert models(small, tmp_path).returncode == 0
    assert list(check(load_manifest(tmp_path / "m.json"))) == []


def test_a_damaged_file_on_disk_is_fetched_anew(small, tmp_path):
    assert models(small, tmp_path).returncode == 0
    (tmp_path / "m/model.safetensors").write_bytes(b"x" * 102400)
    assert models(small, tmp_path).returncode == 0
    assert (tmp_path / "m/model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_branch_that_moved_is_told(small, tmp_path):
    small.repositories["me/model"]["generation_config.json"] = b"{}"
    assert models(small, tmp_path, role="captioner").returncode == 0
    old = load_manifest(tmp_path / "m.json")
    small.repositories["me/model"] |= {"model.safetensors": b"new weights"}
    del small.repositories["me/model"]["generation_config.json"]
    now = commit_of(small.repositories["me/model"])
    moved = f"'main' of me/model has moved from commit {old.revision} to {now} since it was fetched"

    told = small.fetch("--moved", tmp_path / "m.json", home=tmp_path / "home")
    assert told.returncode == 0 and f"{moved}. What was fetched stays in use" in told.stderr
    assert list(check(load_manifest(tmp_path / "m.json"))) == [], "the question changes nothing"

    done = models(small, tmp_path, role="captioner")
    assert done.returncode == 0 and moved in done.stderr
    new = load_manifest(tmp_path / "m.json")
    assert new.revision == now and new.digest != old.digest
    assert not (tmp_path / "m/generation_config.json").exists(), "what the commit no longer has is gone"
    told = small.fetch("--moved", tmp_path / "m.json", home=tmp_path / "home")
    assert told.returncode == 0 and "moved from" not in told.stderr
    small.address = "http://127.0.0.1:9"
    told = small.fetch("--moved", tmp_path / "m.json", home=tmp_path / "home")
    assert told.returncode == 0 and "whether it has moved is not known" in told.stderr


def test_one_file_of_a_repository_is_the_model(small, tmp_path):
    small.repositories["me/models"] = {"phi/lincir_large.pt": b"phi", "pic2word_large.pt": b"im2text"}
    done = models(small, tmp_path, "me/models", "--file", "phi/lincir_large.pt", role="mapping")
    assert done.returncode == 0, done.stderr
    manifest = load_manifest(tmp_path / "m.json")
    assert manifest.path == str(tmp_path / "m/phi/lincir_large.pt")
    assert manifest.files == {"lincir_large.pt": hashlib.sha256(b"phi").hexdigest()}
    assert small.sent == {("me/models", "phi/lincir_large.pt"): 3}
    right, wrong = hashlib.sha256(b"phi").hexdigest(), "0" * 64
    more = ("me/models", "--file", "phi/lincir_large.pt", "--sha256")
    assert models(small, tmp_path, *more, right, role="mapping").returncode == 0
    done = models(small, tmp_path, *more, wrong, role="mapping")
    assert done.returncode == 2 and f"has sha256 {right}, not {wrong} (stacks.NAME.models.m.sha256)" in done.stderr


def test_a_digest_of_ones_own_is_held(tmp_path):
    file = tmp_path / "migc.ckpt"
    file.write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    assert fetch(Request("migc", str(file), tmp_path / "d", sha256=right)).files == {"migc.ckpt": right}
    with pytest.raises(ModelError, match=rf"has sha256 {right}, not {'0' * 64} \(stacks.NAME.models.migc.sha256\)"):
        fetch(Request("migc", str(file), tmp_path / "d", sha256="0" * 64))
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/a").write_bytes(b"a")
    digest = describe("x", "dir", tmp_path / "dir").digest
    assert fetch(Request("x", str(tmp_path / "dir"), tmp_path / "d", sha256=digest)).digest == digest
    with pytest.raises(ModelError, match="not"):
        fetch(Request("x", str(tmp_path / "dir"), tmp_path / "d", sha256=right))
