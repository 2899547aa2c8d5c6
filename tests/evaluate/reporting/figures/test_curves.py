"""The sweeps as curves."""

from ipcir_steps.core.files import read_json
from ipcir_steps.evaluate.reporting.figures import curves


def test_several_baselines_are_lines_of_one_panel(finished):
    sweep = read_json(finished / "results/world/val/mini/ldre/sensitivity.json")
    sweeps = [sweep | {"dataset": "d", "backbone": "b", "baseline": name} for name in ("ldre", "searle", "mine")]
    figure = curves.lambdas(sweeps)
    assert [line.get_label() for line in figure.axes[0].lines[:3]] == ["LDRE, b", "SEARLE, b", "mine, b"]
    assert len(curves.components(sweeps).axes[0].patches) == 21
