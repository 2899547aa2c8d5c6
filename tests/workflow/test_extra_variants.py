"""Reciprocal rank fusion as one more variant of the workflow: off by default, everywhere where it is on."""

import json

import pytest

from ipcir_steps.config import load_config
from ipcir_steps.variants import EXTRA, VARIANTS

ON = {"extra_variants": ["rrf"]}


def test_none_is_ranked_by_default():
    assert load_config({}).variants == tuple(VARIANTS) and not set(EXTRA) & set(VARIANTS)
    assert load_config({"extra_variants": ["rrf", "rrf"]}).variants == (*VARIANTS, "rrf")


@pytest.mark.slow
def test_a_dry_run_with_and_without(workspace, drawn_config):
    """Its list is an output of the ranking; with a judge it is judged too; without images there is none."""

    def planned(*targets, **more):
        return workspace.snakemake("-n", *targets, config={**drawn_config, **more}).stdout

    assert "rrf" not in planned("results/mine_metrics.json")
    told = planned("results/mine_metrics.json", "results/browser/mine", **ON, verify={"judge": "captioner", "k": 3})
    for name in ("rrf.rankings.parquet", "rrf.subset.parquet", "rrf.metrics.json", "rrf_verified.metrics.json"):
        assert f"results/mine/val/mini/ldre/{name}" in told
    undrawn = planned("results/mine_metrics.json", **ON, stacks={"mini": {"proxies": {"generator": "none"}}})
    assert "no_proxy.metrics.json" in undrawn and "rrf" not in undrawn


@pytest.mark.slow
def test_it_stands_beside_the_others(finished_workspace, drawn_config):
    lists = finished_workspace.directory / "results/mine/val/mini/ldre"
    before = {path: path.read_bytes() for path in lists.glob("*.parquet")}
    targets = ("results/mine_metrics.json", "results/tables/table3.md", "results/browser/mine",
               "results/tables/leaderboard.html", "results/figures/mine.svg")  # fmt: skip
    finished_workspace.snakemake(*targets, config={**drawn_config, **ON})
    result = json.loads((finished_workspace / "results/mine_metrics.json").read_text())
    assert [entry["variant"] for entry in result["entries"]] == [*VARIANTS, "rrf"]
    assert set(result["entries"][-1]["difference"]) == set(result["entries"][1]["difference"])
    queries = {tuple(json.loads(path.read_text())["queries"]) for path in lists.glob("*.metrics.json")}
    assert len(queries) == 1 and len(before) == 2 * len(VARIANTS)
    assert all(path.read_bytes() == content for path, content in before.items())
    for page in ("tables/table3.md", "tables/leaderboard.html", "browser/mine/index.html"):
        assert EXTRA["rrf"].label in (finished_workspace / "results" / page).read_text(), page
    assert EXTRA["rrf"].description in (finished_workspace / "results/figures/mine.svg").read_text()
    told = finished_workspace.run("ipcir", "audit", "results/mine/val/mini/ldre/rrf.metrics.json")
    assert told.returncode == 0 and "rrf.rankings.parquet" in told.stdout
