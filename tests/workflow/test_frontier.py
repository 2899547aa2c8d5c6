"""A whole frontier through the workflow: same bytes with any division, nothing left to do, traced to every image."""

import json
import shutil
from pathlib import Path

import PIL.Image
import pytest

from ipcir_steps.core.files import read_json
from tests.workflow.conftest import DRAWN, SMALL, Workspace

RESULT = "results/frontier/mine/mini/ldre"
TARGETS = (f"{RESULT}.json", f"{RESULT}.html")
SETTINGS = {
    "captions": {"proxies": {"generator": "text_to_image", "prompt": "target_captions", "steps": 1}},
    "shallow": {
        "proxies": {
            "count": 1,
            "scheduler": "ddim",
            "steps": 4,
            "migc_until": 0.5,
            "guidance_until": 0.5,
            "reuse_every": 2,
        }
    },
    "distilled": {
        "proxies": {"scheduler": "lcm", "steps": 2, "guidance": 1.0, "migc_until": 0.5},
        "models": {"lora": "lcm"},
    },
}


def configured(config: dict) -> dict:
    mini = {**SMALL["stacks"]["mini"], "models": {"lcm": {"source": "resources/mini/models/lcm"}}}
    compared = {"counts": [1], "settled": [0.8], "settings": SETTINGS}
    return {**config, "stacks": {"mini": mini}, "frontier": compared}


def made(directory: Path) -> dict[str, bytes]:
    """The frontier's files that are the same in every run: all but measured times and records of the jobs."""
    frontier, drawn = directory / "results/frontier", directory / "results/mine/val/frontier"
    files = [path for top in (frontier, drawn) for path in sorted(top.rglob("*")) if path.is_file()]
    kept = [path for path in files if "shards" not in path.parts and not path.name.startswith(".")]
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in kept
        if path.suffix not in (".md", ".svg", ".png") or path.is_relative_to(drawn)
    }


def untimed(table: Path) -> list[list[str]]:
    """The table without its last two columns, which are measured seconds."""
    return [line.split("|")[:-3] if line.startswith("|") else [line] for line in table.read_text().splitlines()]


@pytest.fixture(scope="module")
def compared(once, drawn, ipcir) -> Path:
    """A finished workspace with a frontier of three settings, drawn in one shard; for reading."""

    def make(directory):
        workspace = Workspace(Path(shutil.copytree(drawn, directory)), ipcir)
        workspace.snakemake(*TARGETS, config=configured(DRAWN))

    return once("compared", make)


@pytest.mark.slow
def test_a_frontier_has_the_same_bytes_with_any_division(compared, tmp_path, make_workspace, start_ipcir):
    """From nothing in three shards, in processes whose hashes have another seed; then nothing is left to do."""
    config = {**configured(DRAWN), "shards": 3}
    workspace = make_workspace(tmp_path / "work", start_ipcir())
    workspace.snakemake(*TARGETS, config=config)
    one, three = made(compared), made(workspace.directory)
    assert {name for name in one if one[name] != three.get(name)} == set() and one.keys() == three.keys()
    images = {name for name in one if name.endswith(".png")}
    assert len(images) == 4 * (2 + 1 + 2) and {*TARGETS} < one.keys()
    assert len({one[name] for name in images}) == len(images)  # no setting draws what another one drew
    assert untimed(compared / f"{RESULT}.md") == untimed(workspace / f"{RESULT}.md")
    for setting in SETTINGS:
        shards = (workspace / f"results/mine/val/frontier/{setting}/shards").glob("[!.]*")
        assert {path.name for path in shards} == {f"0-{shard}.jsonl" for shard in range(3)}
    again = workspace.snakemake(*TARGETS, config=config)
    assert "Nothing to be done" in again.stdout + again.stderr
    result = read_json(workspace / f"{RESULT}.json")
    assert {row["setting"] for row in result["rows"]} == {"none", "configured", *SETTINGS}
    operations = {row["name"]: row["operations"] for row in result["rows"] if row["name"] == row["setting"]}
    assert operations["none"] == 0 < operations["distilled"] < operations["configured"]
    mark = "TOY MODELS (stack mini) on mine: these numbers mean nothing"
    assert result["mark"] == mark and mark in (workspace / f"{RESULT}.html").read_text()


@pytest.mark.slow
def test_a_frontier_is_traced_to_each_image(compared, tmp_path, ipcir):
    """Also to one that its page does not show."""
    workspace = Workspace(Path(shutil.copytree(compared, tmp_path / "work")), ipcir)
    for target in (*TARGETS, f"{RESULT}.png"):
        done = workspace.run("ipcir", "audit", target)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "MIGC" in done.stdout or "migc" in done.stdout
    image = sorted((workspace / "results/mine/val/frontier/distilled").rglob("*.png"))[-1]
    assert image.name == "1.png"
    picture = PIL.Image.open(image).convert("RGB")
    picture.putpixel((3, 3), tuple(255 - value for value in picture.getpixel((3, 3))))
    picture.save(image)
    for target in TARGETS:
        done = workspace.run("ipcir", "audit", "--json", target)
        problems = json.loads(done.stdout)["problems"]
        changed = {"path": image.relative_to(workspace.directory).as_posix(), "kind": "changed"}
        assert done.returncode == 1 and [problem.items() >= changed.items() for problem in problems] == [True]
