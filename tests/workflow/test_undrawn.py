"""A stack that draws nothing: what is planned, and what comes out."""

import pytest

from ipcir_steps.core.files import read_json
from ipcir_steps.variants import UNDRAWN

NOTHING = {"stacks": {"mini": {"proxies": {"generator": "none"}}}}
CAPTIONS = {"stacks": {"mini": {"proxies": {"generator": "text_to_image", "prompt": "target_captions"}}}}


@pytest.fixture
def planned(make_workspace, ipcir, tmp_path, photos):
    """A function (target, configuration) -> names of the rules that a dry run plans for the photographs."""
    workspace = make_workspace(tmp_path / "work", ipcir)

    def plan(target, config, check=True):
        config = {"datasets": {"mine": photos}, "run": ["mine"], "devices": 1, **config}
        done = workspace.snakemake(target, "--dry-run", "--quiet", "rules", config=config, check=check)
        return {line.split()[0] for line in done.stdout.splitlines() if len(line.split()) == 2}, done

    return plan


def test_layouts_masks_and_images_drop_out_where_nothing_needs_them(planned, tmp_path):
    """Target captions as prompts need no layouts; without images there are no proxies and no features of them."""
    drawn, _ = planned("results/mine_metrics.json", CAPTIONS)
    assert {"reasoning", "proxies", "proxies_features", "ranking"} <= drawn and not drawn & {"layouts", "masks"}
    undrawn, _ = planned("results/mine_metrics.json", NOTHING)
    assert {"reasoning", "ranking_undrawn", "fusion", "results"} <= undrawn
    assert not undrawn & {"layouts", "masks", "proxies", "gather_proxies", "proxies_features", "ranking"}
    (tmp_path / "work/own.py").write_text(
        "class Nothing:\n    roles = ()\n    needs_layouts = needs_masks = draws = False\n"
    )
    own = {"stacks": {"mini": {"proxies": {"generator": "own:Nothing"}}}}
    assert planned("results/mine_metrics.json", own)[0] == undrawn  # a generator of one's own may draw nothing too
    _, done = planned("results/browser/mine", NOTHING, check=False)
    assert done.returncode and "generator: none, so there are no proxies to look at" in done.stderr + done.stdout


@pytest.mark.slow
def test_what_is_left_is_ranked_and_scored(make_workspace, ipcir, tmp_path, photos, drawn):
    """The text and the fusion without proxies are those of a run that draws."""
    workspace = make_workspace(tmp_path / "work", ipcir)
    config = {"datasets": {"mine": photos}, "run": ["mine"], "devices": 1, **NOTHING}
    config["stacks"] = {"mini": {**workspace_stack(), **NOTHING["stacks"]["mini"]}}
    workspace.snakemake("results/mine_metrics.json", "results/figures/mine.svg", config=config)
    result, whole = (read_json(place / "results/mine_metrics.json") for place in (workspace, drawn))
    metrics = {entry["variant"]: entry["metrics"] for entry in whole["entries"]}
    assert [entry["variant"] for entry in result["entries"]] == list(UNDRAWN)
    assert all(entry["metrics"] == metrics[entry["variant"]] for entry in result["entries"])
    assert not list((workspace / "results/mine/val").glob("proxies*"))


def workspace_stack() -> dict:
    from tests.workflow.conftest import SMALL

    return SMALL["stacks"]["mini"]


def test_models_of_the_frontier_are_prefetched(make_workspace, ipcir, tmp_path, photos):
    """A model that only a setting of the frontier names is fetched with the others."""
    workspace = make_workspace(tmp_path / "work", ipcir)
    turbo = {"generator": {"source": "resources/mini/models/sd"}, "turbo": {"source": "resources/mini/models/sd"}}
    point = {"proxies": {"generator": "text_to_image"}, "models": {"generator": "turbo"}}
    config = {"datasets": {"mine": photos}, "run": ["mine"], "stacks": {"mini": {"models": turbo}}}
    for settings, there in (({}, False), ({"turbo": point}, True)):
        done = workspace.snakemake("prefetch", "--dry-run", config={**config, "frontier": {"settings": settings}})
        assert ("resources/manifests/mini/turbo.json" in done.stdout) == there
