"""Fetching: what breaks off, is killed or runs twice goes on where it was."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ipcir_steps.core.manifests import check, load_manifest
from tests.hub.published import CAPTIONER, CLIP, DETECTOR, GENERATOR, LLM, ROLES, SEGMENTER, VISION
from tests.runtime.fetching import FILES, models, refused, words

MODELS = (CAPTIONER, LLM, DETECTOR, SEGMENTER, GENERATOR, VISION, CLIP["ViT-L-14"])


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
