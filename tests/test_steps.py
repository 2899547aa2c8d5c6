"""The cards of the commands: what derives from them is complete."""

from pathlib import Path

from ipcir_steps.core import paths
from ipcir_steps.evaluate.reporting.figures import costs
from ipcir_steps.runtime import doctor
from ipcir_steps.steps import SHARDED, STEPS, TIMED


def test_steps_with_shards_are_gathered_timed_and_examined():
    assert SHARDED == ["captions", "reasoning", "layouts", "masks", "proxies", "proxy_captions", "verify"]
    for name in SHARDED:
        assert STEPS[name].gathered in doctor.CROSS
        assert costs.step_of(Path(f"{paths.TIMES}/cirr/val/{name}/3.tsv")) == name


def test_costs_follow_the_order_of_the_pipeline():
    assert ["datasets", *SHARDED[:-1], "embeddings", "baselines", "fusion", "ranking", "verify"] == TIMED
    below = f"{paths.TIMES}/cirr/val/ViT-L-14"
    for name, step in (
        ("gallery", "embeddings"), ("ldre/ranking", "ranking"), ("ldre/baseline", "baselines"), ("fusion/rp", "fusion"),
        ("ldre/rp.metrics", None), ("ldre/sensitivity", None), ("mine", None),
    ):  # fmt: skip
        assert costs.step_of(Path(f"{below}/{name}.tsv")) == step
