"""A repository that plays two roles is fetched once: the second role's files are those of the first."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ipcir_steps.core import paths
from ipcir_steps.core.files import read_json
from ipcir_steps.core.manifests import Manifest, check
from tests.runtime.fetching import FILES, WANTED

WHOLE = sum(len(FILES[name]) for name in WANTED)
PLACE = "me--model@main"


def fetched(hub, directory, role, source="me/model"):
    """As the workflow does: each role has a directory of the source's name, below its own."""
    place = Path(paths.MODELS) / role / PLACE
    done = hub.fetch(
        "--name", role, "--source", source, "--revision", "main", "--role", role, "--directory", place,
        "--output", f"{role}.json", home=directory / "home", cwd=directory,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = Manifest(**read_json(directory / f"{role}.json"))
    assert list(check(manifest, directory)) == [] and manifest.path == str(place)
    return manifest, done.stderr


def test_two_roles_of_one_model(small, tmp_path):
    first, _ = fetched(small, tmp_path, "vision")
    second, told = fetched(small, tmp_path, "clip")
    assert sum(small.sent.values()) == WHOLE and ", 0 B of them to fetch" in told
    assert first.files == second.files and first.digest == second.digest
    for name in WANTED:
        assert (tmp_path / paths.MODELS / "vision" / PLACE / name).samefile(
            tmp_path / paths.MODELS / "clip" / PLACE / name
        )
    assert not list(tmp_path.rglob(".cache/parts/*"))


@pytest.mark.slow
def test_two_roles_at_once(small, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda role: fetched(small, tmp_path, role), ("vision", "clip")))
    assert sum(small.sent.values()) == WHOLE


@pytest.mark.slow
def test_another_commit_is_fetched(small, tmp_path):
    old, _ = fetched(small, tmp_path, "vision")
    small.repositories["me/model"] |= {"model.safetensors": b"new weights"}
    new, _ = fetched(small, tmp_path, "clip")
    assert new.files["model.safetensors"] != old.files["model.safetensors"] and list(check(old, tmp_path)) == []


def test_a_damaged_file_is_not_taken_over(small, tmp_path):
    fetched(small, tmp_path, "vision")
    (tmp_path / paths.MODELS / "vision" / PLACE / "model.safetensors").write_bytes(b"x" * 102400)
    fetched(small, tmp_path, "clip")
    assert small.sent["me/model", "model.safetensors"] == 2 * 102400
    first, second = (tmp_path / paths.MODELS / role / PLACE / "model.safetensors" for role in ("vision", "clip"))
    assert not first.samefile(second)


@pytest.mark.slow
def test_another_model_with_files_of_the_same_names_is_none(small, tmp_path):
    """Directories are told apart by what they hold, not by their names alone."""
    fetched(small, tmp_path, "vision")
    small.repositories["you/model"] = {**FILES, "model.safetensors": bytes(102400)}
    fetched(small, tmp_path, "clip", "you/model")
    assert small.sent["you/model", "model.safetensors"] == 102400
