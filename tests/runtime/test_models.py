"""Fetching: what is told before, a snapshot at its commit, every digest, kills, refusals, and a branch that moves."""

import hashlib
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import check, describe, load_manifest
from ipcir_steps.runtime.models import Request, fetch
from tests.hub.opened import opened
from tests.hub.published import CAPTIONER, CLIP, DETECTOR, GENERATOR, LLM, ROLES, SEGMENTER, VISION
from tests.hub.server import commit_of, serve

FILES = {"config.json": b'{"width": 8}\n', "model.safetensors": bytes(range(256)) * 400, "README.md": b"a card"}
WANTED = ("config.json", "model.safetensors")


@pytest.fixture
def small():
    """A hub with one model of two files, and a card."""
    with serve({"me/model": dict(FILES)}) as running:
        yield running


def words(directory, source="me/model", *more, revision="main", role="vision", name="m"):
    options = {"--name": name, "--source": source, "--revision": revision, "--role": role}
    options |= {"--directory": directory / name, "--output": directory / f"{name}.json"}
    return [str(word) for option in options.items() for word in option] + [str(word) for word in more]


def models(hub, directory, *more, token=None, **options):
    return hub.fetch(*words(directory, *more, **options), home=directory / "home", token=token)


def refused(hub, directory, *more, **options):
    """The one message of a fetch that must fail."""
    done = models(hub, directory, *more, **options)
    assert done.returncode == 2 and not (directory / "m.json").exists(), done.stderr
    [message] = [line for line in done.stderr.splitlines() if line.startswith("ipcir models: error: ")]
    assert "Traceback" not in done.stderr
    return message


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


def test_a_gated_model_needs_a_token_which_goes_nowhere_else(small, tmp_path):
    small.gated.add("me/model")
    assert "the repository is gated: an account has to accept its conditions at http://127.0.0.1" in refused(
        small, tmp_path
    )
    assert "That of the access token that HF_TOKEN" in refused(small, tmp_path, token="hf_other")
    done = models(small, tmp_path, token="hf_right")
    assert done.returncode == 0, done.stderr
    assert small.tokens == {"hub": {None, "hf_other", "hf_right"}, "storage": {None}}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hf_right" not in written and "hf_right" not in done.stderr


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (
            404,
            {"X-Error-Code": "RepoNotFound"},
            "has no such repository (stacks.NAME.models.m.source), or it is private",
        ),
        (
            401,
            {},
            "(stacks.NAME.models.m.source), or it is private and it needs an access token in HF_TOKEN",
        ),
        (404, {}, "has no such repository"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "there is no such revision (stacks.NAME.models.m.revision)"),
        (403, {}, "the hub refuses (status 403). Does an access token in HF_TOKEN give access?"),
        (429, {}, "the hub has had too many requests. Wait some minutes or set HF_TOKEN"),
        (503, {}, "the hub has a fault (status 503). Run again later"),
    ],
)
def test_each_refusal_is_one_message(small, tmp_path, status, headers, expected):
    small.status["me/model"] = (status, headers)
    message = refused(small, tmp_path)
    assert "model stacks.NAME.models.m: me/model@main: " in message and expected in message


def test_a_token_that_is_no_longer_valid_is_told(small, tmp_path):
    small.status["me/model"] = (401, {"X-Error-Message": "Invalid credentials in Authorization header"})
    message = refused(small, tmp_path, token="hf_old")
    assert "the hub does not accept the access token that HF_TOKEN or `hf auth login` gave. Make a new one" in message
    assert "hf_old" not in message


def test_other_ways_to_fail_are_one_message_too(small, tmp_path):
    assert "me/other@main: http://127.0.0.1" in refused(small, tmp_path, "me/other")
    assert "there is no such revision" in refused(small, tmp_path, revision="v2")
    of_a_rule = refused(small, tmp_path, "me/other", "--key", "stacks.published.models.llm")
    assert "has no such repository (stacks.published.models.llm.source)" in of_a_rule
    assert "is no repository of a hub (stacks.NAME.models.m.source). Is a local path misspelt?" in refused(
        small, tmp_path, "a/b/c"
    )
    assert "needs a pinned revision" in refused(small, tmp_path, revision="")
    small.repositories["me/empty"] = {"README.md": b""}
    assert "me/empty holds no model.safetensors" in refused(small, tmp_path, "me/empty")
    small.page = "<html>please log in to the hotel's network</html>"
    assert "does not answer as a model hub does. Is HF_ENDPOINT right?" in refused(small, tmp_path)


def test_a_mirror_without_the_file_is_told(small, tmp_path):
    small.absent.add(("me/model", "model.safetensors"))
    message = refused(small, tmp_path)
    assert "model.safetensors of me/model@" in message and "Is the mirror in HF_ENDPOINT complete?" in message


def test_without_a_network_the_remedy_is_told(small, tmp_path):
    small.address = "http://127.0.0.1:9"
    message = refused(small, tmp_path)
    assert "http://127.0.0.1:9 cannot be reached" in message
    assert "Run `snakemake prefetch` where there is a network, set HF_ENDPOINT to a mirror" in message


def test_a_disk_that_is_too_small_is_told_before(small, tmp_path):
    small.sizes["me/model", "model.safetensors"] = 10**18
    message = refused(small, tmp_path)
    assert "1000000.0 TB are to be fetched and only" in message and "Free disk space" in message
    assert ("me/model", "model.safetensors") not in small.sent


def test_a_disk_that_fills_up_is_told_and_nothing_is_lost(small, tmp_path):
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = small.fetch(*words(tmp_path), home=tmp_path / "home", preexec_fn=full)
    assert done.returncode == 2 and "cannot be written" in done.stderr and "what is here is kept" in done.stderr
    before = sum(small.sent.values())
    assert models(small, tmp_path).returncode == 0
    assert sum(small.sent.values()) - before < 60_000


@pytest.mark.parametrize("ranges", [True, False])
def test_connections_that_break_off_are_continued(small, tmp_path, ranges):
    small.breaks, small.ranges = 3, ranges
    assert models(small, tmp_path).returncode == 0
    assert list(check(load_manifest(tmp_path / "m.json"))) == [] and small.breaks == 0


@pytest.mark.slow
def test_a_connection_that_never_brings_anything_ends(small, tmp_path):
    small.breaks, small.ranges = 10**6, False
    message = refused(small, tmp_path)
    assert "cannot be reached" in message


MODELS = {CAPTIONER: 1, LLM: 1, DETECTOR: 1, SEGMENTER: 1, GENERATOR: 1, VISION: 1, CLIP["ViT-L-14"]: 1}


def prefetch(hub, directory, at=None) -> bool:
    """The published models one after the other, skipping those that are recorded, as the workflow does.

    at: bytes after which whatever runs is killed. Returns whether all of them are there.
    """
    if at is not None:
        hub.hold_at(at)
    for number, repository in enumerate(MODELS):
        options = words(directory, repository, role=ROLES[repository], name=f"model{number}")
        if (directory / f"model{number}.json").exists():
            continue
        command = [sys.executable, "-m", "ipcir_steps", "models", *options]
        with subprocess.Popen(command, env=hub.environment(directory / "home"), stderr=subprocess.PIPE) as run:
            while run.poll() is None:
                if hub.reached.wait(0.05):
                    run.kill()
                    run.wait()
                    hub.release()
                    hub.reached.clear()
                    return False
            assert run.returncode == 0, run.stderr.read().decode()
    return True


@pytest.mark.slow
def test_killed_at_ten_moments_it_continues_and_ends_with_the_same_manifests(hub, tmp_path):
    (whole := tmp_path / "whole").mkdir()
    assert prefetch(hub, whole)
    total = sum(hub.sent.values())
    manifests = [json.loads((whole / f"model{n}.json").read_text()) for n in range(len(MODELS))]
    assert total == sum((whole / name).stat().st_size for n, m in enumerate(manifests) for name in
                        (f"model{n}/{file}" for file in m["files"]))  # fmt: skip
    hub.sent.clear()
    (killed := tmp_path / "killed").mkdir()
    kills = 0
    for _ in range(10):
        kills += not prefetch(hub, killed, at=total // 11)
    assert kills == 10 and not prefetch_is_whole(killed)
    assert prefetch(hub, killed)
    for number, manifest in enumerate(manifests):
        again = json.loads((killed / f"model{number}.json").read_text())
        assert again == {**manifest, "path": str(killed / f"model{number}")}
        for name in manifest["files"]:
            assert (killed / f"model{number}" / name).read_bytes() == (whole / f"model{number}" / name).read_bytes()
    again = sum(hub.sent.values()) - total
    print(f"{total / 1e6:.1f} MB in all, {again / 1e6:.1f} MB of them sent again after {kills} kills")
    # What was under way when it was killed may be sent again: at most what the sockets hold.
    assert total <= sum(hub.sent.values()) < total + 10 * 4_000_000


def prefetch_is_whole(directory: Path) -> bool:
    return all((directory / f"model{number}.json").exists() for number in range(len(MODELS)))


def test_two_at_once_share_the_work(small, tmp_path):
    small.repositories["me/model"]["model.safetensors"] = bytes(range(256)) * 40_000
    environment = small.environment(tmp_path / "home")
    command = [sys.executable, "-m", "ipcir_steps", "models", *words(tmp_path)]
    runs = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(3)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    for run in runs:
        run.stderr.close()
    assert list(check(load_manifest(tmp_path / "m.json"))) == []
    assert small.sent["me/model", "model.safetensors"] == 256 * 40_000, "fetched once"


def test_what_was_begun_of_an_earlier_commit_is_removed(small, tmp_path):
    small.damaged["me/model", "model.safetensors"] = FILES["model.safetensors"][:50_000]
    assert "cannot be reached (connections end early)" in refused(small, tmp_path)
    assert list((tmp_path / "m/.cache/parts").iterdir())
    small.repositories["me/model"]["model.safetensors"] = b"new weights"
    small.damaged.clear()
    assert models(small, tmp_path).returncode == 0
    assert not list((tmp_path / "m/.cache/parts").iterdir())


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


def test_files_from_elsewhere_are_neither_used_nor_removed(small, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/added_tokens.json").write_text("{}")
    assert "holds files that are not among those of me/model" in refused(small, tmp_path)
    assert (tmp_path / "m/added_tokens.json").exists()
    shutil.rmtree(tmp_path / "m")
    assert models(small, tmp_path).returncode == 0


@pytest.mark.parametrize("name", ["../outside.safetensors", "/tmp/outside.safetensors", "a/../../outside.safetensors"])
def test_no_path_of_a_hub_leads_out_of_the_directory(small, tmp_path, name):
    index = json.dumps({"weight_map": {"a": name}}).encode()
    small.repositories["me/model"] = {"config.json": b"{}", "model.safetensors.index.json": index, name: b"evil"}
    assert "leaves the directory" in refused(small, tmp_path)
    assert not list(tmp_path.rglob("*outside*"))


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
