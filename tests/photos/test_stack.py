"""Which models answer where no ``--stack`` is given."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipcir_steps.core.files import write_json
from ipcir_steps.core.manifests import describe
from ipcir_steps.photos.stack import stack

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stranger(tmp_path, house, monkeypatch) -> Path:
    """A home where ``ipcir`` was never used, with two photos; the toy models are built already, to save time."""
    import PIL.Image

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copytree(house / "resources", tmp_path / "cache/ipcir/resources")
    (tmp_path / "photos").mkdir()
    for colour in ("red", "blue"):
        PIL.Image.new("RGB", (60, 40), colour).save(tmp_path / f"photos/{colour}.png")
    return tmp_path


def ipcir(where: Path, *words: str) -> tuple[str, str]:
    """(stdout, stderr) of a command that succeeds."""
    command = [sys.executable, "-m", "ipcir_steps", *words]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def clip_as(stranger: Path, clip_directory: Path) -> None:
    """Let the CLIP model of ``laptop`` be there, as ``ipcir models`` leaves it: tiny weights, its own layout."""
    directory = stranger / "cache/ipcir/resources/models/laptop/clip/ViT-B-32"
    shutil.copytree(clip_directory, directory)
    made = describe("ViT-B-32", "timm/vit_base_patch32_clip_224.openai", directory, "main")
    manifest = stranger / "cache/ipcir/resources/manifests/laptop/clip/ViT-B-32.json"
    manifest.parent.mkdir(parents=True)
    write_json(manifest, vars(made))


@pytest.mark.slow
def test_toy_models_answer_until_the_laptops_are_fetched_and_say_that_it_means_nothing(stranger):
    _, told = ipcir(stranger, "index", "photos")
    assert "toy models are used" in told and "their lists mean nothing" in told
    fetch = told.split("run this again: ")[1].splitlines()[0]
    assert fetch.startswith("ipcir models --name ViT-B-32 --source timm/vit_base_patch32_clip_224.openai")
    assert f"--output {stranger}/cache/ipcir/resources/manifests/laptop/clip/ViT-B-32.json" in fetch
    out, told = ipcir(stranger, "search", "photos", "--text", "red", "--json")
    assert len(json.loads(out)["results"]) == 2 and "TOY MODELS" in told and "toy models are used" in told
    _, told = ipcir(stranger, "index", "photos", "--stack", "mini")
    assert "No --stack" not in told  # they were asked for


@pytest.mark.slow
def test_the_laptops_models_answer_once_they_are_fetched(stranger, clip_directory):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason=f"{name} is not installed (pip install 'ipcir[photos]')")
    clip_as(stranger, clip_directory)
    out, told = ipcir(stranger, "index", "photos")
    assert "2 photos" in out and "toy" not in told and "writing the image tower" in told and "text tower" not in told
    assert "WARNING" not in told and "arning:" not in told
    out, told = ipcir(stranger, "search", "photos", "--image", "photos/red.png", "--text", "blue", "--json")
    rows = json.loads(out)["results"]
    assert {row["path"] for row in rows} == {"red.png", "blue.png"} and "toy" not in told.lower()
    assert "writing the text tower" in told
    _, told = ipcir(stranger, "search", "photos", "--text", "blue")
    assert "writing" not in told
    (index,) = (stranger / "data/ipcir/photos").glob("*/laptop")
    assert (index / "photos.sqlite").is_file()


def test_models_of_a_checkout_lie_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert stack("laptop").root == tmp_path / "cache/ipcir"
    (tmp_path / "Snakefile").touch()
    assert stack("laptop").root == Path(".") and stack("mini").root == tmp_path / "cache/ipcir"
