"""Proxies drawn one after another through the workflow: fewer images, the same bytes with any division, traced."""

import shutil
from pathlib import Path

import pytest

from ipcir_steps.core.features import load_features
from ipcir_steps.core.files import read_json, read_jsonl
from tests.workflow.conftest import PHOTOS, Workspace

TARGET, PROXIES = "results/mine_metrics.json", "results/mine/val/proxies/migc"
# Of four queries one is certain of its text; the others get a second image, which settles the lists of some.
STOPPING = {"settled": 0.5, "certain": 0.02, "top": 3}


def stopped(drawn_config: dict, **more) -> dict:
    return {**drawn_config, "datasets": {"mine": {**PHOTOS, "stopping": {**STOPPING, **more}}}}


def made(directory: Path) -> dict[str, bytes]:
    """The index, images, features and lists."""
    top = directory / "results/mine"
    names = [name for name in sorted(top.rglob("*")) if name.suffix in (".png", ".jsonl", ".safetensors", ".parquet")]
    kept = [name for name in names if not {"shards"} & set(name.parts) and not name.name.startswith(".")]
    return {name.relative_to(directory).as_posix(): name.read_bytes() for name in kept}


@pytest.mark.slow
def test_what_cannot_stop_is_refused_before_anything_runs(workspace, drawn_config):
    for more, told in (
        ({"baseline": "ldr"}, "datasets.mine.stopping.baseline: unknown name 'ldr'"),
        ({"backbone": "ViT-L-14"}, "datasets.mine.stopping.backbone: unknown name 'ViT-L-14'"),
        ({"settled": None, "certain": None}, "neither settled nor certain is given"),
    ):
        done = workspace.snakemake("-n", TARGET, config=stopped(drawn_config, **more), check=False)
        assert done.returncode != 0 and told in done.stdout + done.stderr


@pytest.mark.slow
def test_nothing_of_it_is_planned_by_default(workspace, drawn_config):
    plain = workspace.snakemake("-n", TARGET, config=drawn_config).stdout
    assert "stopping" not in plain and "rounds/" not in plain
    rounds = workspace.snakemake("-n", TARGET, config=stopped(drawn_config)).stdout
    assert "rounds/2/queries.jsonl" in rounds and "rounds/3/" not in rounds


@pytest.mark.slow
def test_drawing_stops_with_the_same_bytes_in_any_division(drawn, tmp_path, ipcir, drawn_config):
    one = Workspace(Path(shutil.copytree(drawn, tmp_path / "one")), ipcir)
    whole = {record["query_id"]: record for record in read_jsonl(one / f"{PROXIES}/index.jsonl")}
    shutil.rmtree(one / "results/mine/val/proxies")
    shutil.rmtree(one / "results/mine/val/mini")
    three = Workspace(Path(shutil.copytree(one.directory, tmp_path / "three")), ipcir)
    one.snakemake(TARGET, "results/browser/mine", config=stopped(drawn_config))
    report = {record["query_id"]: record for record in read_jsonl(one / f"{PROXIES}/stopping.jsonl")}
    index = {record["query_id"]: record for record in read_jsonl(one / f"{PROXIES}/index.jsonl")}
    counts = {query_id: len(record["images"]) for query_id, record in index.items()}
    assert counts == {query_id: record["drawn"] for query_id, record in report.items()}
    assert 0 in counts.values() and 2 in counts.values()
    for query_id, count in counts.items():
        assert index[query_id]["seeds"] == whole[query_id]["seeds"][:count]
    told = read_json(one / TARGET)["stopping"]
    assert told["images"] == sum(counts.values()) == len(list((one / PROXIES).rglob("*.png")))
    features = load_features(one / "results/mine/val/mini/proxies.safetensors")
    assert dict(zip(features.names, features.counts, strict=True)) == counts and not features.missing

    three.snakemake(TARGET, config={**stopped(drawn_config), "shards": 3, "devices": 2})
    ours, theirs = made(one.directory), made(three.directory)
    assert ours.keys() == theirs.keys() and {name for name in ours if ours[name] != theirs[name]} == set()
    again = three.snakemake(TARGET, config={**stopped(drawn_config), "shards": 3, "devices": 2})
    assert "Nothing to be done" in again.stdout + again.stderr

    done = one.run("ipcir", "audit", TARGET)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    page = (one / "results/browser/mine/index.html").read_text()
    assert "the text is certain" in page
    image = next((one / PROXIES).rglob("*.png"))
    image.write_bytes(image.read_bytes() + b"x")
    done = one.run("ipcir", "audit", TARGET)
    assert done.returncode == 1 and image.name in done.stdout
