"""Verification through the workflow: off by default, and a second row for every variant where it is on."""

import json

import pytest

from ipcir_steps.config.data import JUDGED_FIRST
from ipcir_steps.core.rankings import read_rankings
from ipcir_steps.variants import VARIANTS, unverified


def test_without_a_judge_no_job_is_added(workspace, drawn_config):
    done = workspace.snakemake("-n", "results/mine_metrics.json", config=drawn_config)
    assert "results" in done.stdout and not any(word in done.stdout for word in ("verify", "rerank", "judgements"))


@pytest.mark.slow
def test_verified_lists_stand_beside_the_others(finished_workspace, drawn_config):
    before = {
        path: path.read_bytes() for path in finished_workspace.directory.glob("results/mine/val/mini/ldre/*.parquet")
    }
    config = {**drawn_config, "verify": {"judge": "captioner", "k": 3}}
    targets = ("results/mine_metrics.json", "results/tables/table3.md", "results/browser/mine")
    finished_workspace.snakemake(*targets, config=config)
    assert (
        '["rp_bm_verified","IP-CIR, verified"]' in (finished_workspace / "results/browser/mine/index.html").read_text()
    )
    result = json.loads((finished_workspace / "results/mine_metrics.json").read_text())
    names = [entry["variant"] for entry in result["entries"]]
    assert names == [each for name in VARIANTS for each in (name, f"{name}_verified")]
    verified = [entry for entry in result["entries"] if entry["variant"] != unverified(entry["variant"])]
    assert all(entry["verification"]["lists"] == 4 and entry["verification"]["difference"] for entry in verified)
    assert "IP-CIR, verified" in (finished_workspace / "results/tables/table3.md").read_text()
    assert len(before) == 12 and all(path.read_bytes() == content for path, content in before.items())
    told = finished_workspace.run("ipcir", "audit", "results/mine/val/mini/ldre/rp_bm_verified.metrics.json")
    assert told.returncode == 0 and "judgements.jsonl" in told.stdout and "blip2" in told.stdout
    done = finished_workspace.run("ipcir", "doctor")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_lambda_by_a_judge_reads_what_it_says_of_both_sides(finished_workspace, drawn_config, photos):
    config = {**drawn_config, "datasets": {"mine": {**photos, "lambda": {"rule": "judged"}}}}
    refused = finished_workspace.snakemake("-n", "results/mine_metrics.json", config=config, check=False)
    assert refused.returncode and "judged needs a judge" in refused.stdout + refused.stderr
    config["verify"] = {"judge": "captioner", "k": 3}
    finished_workspace.snakemake("results/mine_metrics.json", config=config)
    split = finished_workspace / "results/mine/val"
    told = json.loads((split / "mini/ldre/balance.json").read_text())
    assert told["rule"] == "judged" and len(told["queries"]["rp_bm"]) == 4
    sides = [json.loads(line) for line in (split / "side_judgements.jsonl").read_text().splitlines()]
    first = {row["query_id"]: {image for entry in row["judged"] for image in entry["images"]} for row in sides}
    for variant in ("base", "rp"):
        for query, names in read_rankings(split / f"mini/ldre/sides/{variant}.rankings.parquet").items():
            assert set(names[:JUDGED_FIRST]) <= first[query]
    done = finished_workspace.run("ipcir", "audit", "results/mine/val/mini/ldre/rp_bm.metrics.json")
    assert done.returncode == 0 and "side_judgements.jsonl" in done.stdout
    done = finished_workspace.run("ipcir", "doctor")
    assert done.returncode == 0, done.stdout
