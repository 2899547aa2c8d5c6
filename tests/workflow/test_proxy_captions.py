"""Captions of the proxies through the workflow: off by default, and text sides of their own where they join one."""

import json
import shutil

import pytest

JOINED = {"ldre_captioned": {"baseline": "ldre", "weight": 0.4}}
OTHERS = {"ldre_captioned.others": {"baseline": "ldre", "weight": 0.4, "others": True}}
WORDS = ("proxy_captions", "captioned")


def joining(config, **more):
    names = [*JOINED, *more]
    return {**config, "baselines": ["ldre", *names], "proxy_captions": {"joined": {**JOINED, **more}}}


def test_without_the_setting_no_job_is_added(workspace, drawn_config):
    done = workspace.snakemake("-n", "results/mine_metrics.json", config=drawn_config)
    assert "results" in done.stdout and not any(word in done.stdout for word in WORDS)


def test_with_it_the_proxies_are_captioned_once_and_the_baseline_is_made_as_before(workspace, drawn_config):
    config = joining(drawn_config, **OTHERS)
    done = workspace.snakemake("-n", "results/mine_metrics.json", config=config).stdout
    jobs = {
        words[0]: int(words[1]) for line in done.splitlines() if len(words := line.split()) == 2 and words[1].isdigit()
    }
    assert jobs["proxy_captions"] == jobs["gather_proxy_captions"] == jobs["proxy_captions_features"] == 1
    assert jobs["captioned_baseline"] == 2 and jobs["baseline"] == 1 and jobs["ranking"] == 3


def test_a_frontier_of_such_a_text_side_is_refused(workspace, drawn_config):
    target = "results/frontier/mine/mini/ldre_captioned.json"
    done = workspace.snakemake("-n", target, config=joining(drawn_config), check=False)
    assert done.returncode and "ask for the frontier of ldre" in done.stdout + done.stderr


@pytest.mark.slow
def test_they_stand_beside_the_baseline(finished_workspace, drawn_config):
    """New rows, the baseline's bytes as they were; the same bytes with another division of the work."""
    split = finished_workspace.directory / "results/mine/val"
    before = {path: path.read_bytes() for path in split.glob("mini/ldre/*") if path.is_file()}
    config, targets = joining(drawn_config), ("results/mine_metrics.json", "results/tables/table3.md")
    finished_workspace.snakemake(*targets, config=config)
    assert len(before) > 12 and all(path.read_bytes() == content for path, content in before.items())
    entries = json.loads((finished_workspace / targets[0]).read_text())["entries"]
    joined = [entry for entry in entries if entry["baseline"] in config["proxy_captions"]["joined"]]
    assert len(joined) == len(entries) / 2 and all(entry["captions"]["baseline"] == "ldre" for entry in joined)
    assert not any(entry["published"] for entry in joined)
    assert "LDRE + proxy captions" in (finished_workspace / targets[1]).read_text()
    told = finished_workspace.run("ipcir", "audit", "results/mine/val/mini/ldre_captioned/rp_bm.metrics.json")
    assert told.returncode == 0 and "proxy_captions" in told.stdout and "blip2" in told.stdout, told.stdout
    done = finished_workspace.run("ipcir", "doctor")
    assert done.returncode == 0, done.stdout

    names = ("proxy_captions.jsonl", "mini/proxy_captions.safetensors", "mini/ldre_captioned/text.safetensors")
    made = [split / name for name in names]
    first = [path.read_bytes() for path in made]
    shutil.rmtree(split / "shards/proxy_captions")
    for path in made:
        path.unlink()
    again = {**config, "shards": 3}
    target = "results/mine/val/mini/ldre_captioned/text.safetensors"
    finished_workspace.snakemake(target, "--rerun-triggers", "mtime", config=again)
    assert [path.read_bytes() for path in made] == first
