"""``ipcir sensitivity``: one thing varies at a time, around lambda as it was chosen."""

import pytest

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.cli import main
from ipcir_steps.config.figures import Sensitivity
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.evaluate.tuning.sensitivity import grids
from ipcir_steps.evaluate.tuning.sweep import PARTS


def test_each_grid_varies_one_thing():
    settings = Sensitivity(lambdas=(0.0, 0.5), proxy_weights=(0.0, 2.0))
    found = grids(3, (1.0, 0.5, 2.0), 0.3, settings)
    assert [setting.lam for setting in found["lambda"]] == [0.0, 0.5]
    assert [setting.proxies for setting in found["proxies"]] == [1, 2, 3]
    assert len(found["components"]) == 7 and {setting.lam for setting in found["components"]} == {0.3}
    assert found["components"][0].weights == (1.0, 0.5, 2.0)
    weights = [(setting.weights[0], setting.lam) for setting in found["weights"]]
    assert weights == [(0.0, 0.0), (0.0, 0.5), (2.0, 0.0), (2.0, 0.5)]


def test_a_weight_of_nothing_is_no_setting():
    """With the other weights 0, no proxy and a proxy weight of 0 leave nothing of eq. 1."""
    found = grids(1, (1.0, 0.0, 0.0), 0.3, Sensitivity(lambdas=(0.5,), proxy_weights=(0.0, 1.0)))
    assert [setting.weights for setting in found["weights"]] == [(1.0, 0.0, 0.0)]
    assert all(any(setting.weights) for setting in found["components"])


def test_the_chosen_lambda_is_the_middle_and_intervals_hold_the_mean(noisy, options):
    directory = noisy()
    write_json(directory / "lambda.json", {"chosen": {"rp_bm": {"lambda": 0.6}}})
    words = ["--benchmark", "circo", "--lambda-file", str(directory / "lambda.json"), "--seed", "3"]
    words += ["--settings", '{"lambdas": [0.0, 0.6, 1.0], "resamples": 200}']
    command = ["sensitivity", *options(directory, *PARTS), *words, "--output", str(directory / "out.json")]
    assert main(command) == 0
    found, bytes_of = read_json(directory / "out.json"), (directory / "out.json").read_bytes()
    assert found["chosen"]["lambda"] == 0.6 and found["queries"] == 60 and found["protocol"] == "circo"
    assert found["key"] == BENCHMARKS["circo"].tuned_by  # as `ipcir tune`: the best of a sweep is the same setting
    assert {row["lambda"] for row in found["proxies"] + found["components"]} == {0.6}
    for row in [row for figure in ("lambda", "proxies", "components", "weights") for row in found[figure]]:
        low, high = row["interval"][found["key"]]
        assert low <= row["metrics"][found["key"]] <= high
    # The middle is in every figure: the same setting, the same values.
    middle = [found["lambda"][1], found["proxies"][-1], found["components"][0]]
    assert middle[0]["metrics"] == middle[1]["metrics"] == middle[2]["metrics"]
    assert main(command) == 0 and (directory / "out.json").read_bytes() == bytes_of


@pytest.mark.parametrize(("lam", "message"), [("1.5", "is 1.5, not within"), ("nan", "is nan, not within")])
def test_a_lambda_outside_is_refused(noisy, options, capsys, lam, message):
    directory = noisy()
    words = ["--benchmark", "circo", "--lambda", lam, "--output", str(directory / "out.json")]
    assert main(["sensitivity", *options(directory, *PARTS), *words]) == 2
    assert "--lambda" in (error := capsys.readouterr().err) and message in error


def test_sensitivity_agrees_with_the_results(finished):
    """At the configured setting the sweep has the metrics of rp_bm, at lambda 1 those of base."""
    sweep = read_json(finished / "results/world/val/mini/ldre/sensitivity.json")
    entries = {e["variant"]: e["metrics"] for e in read_json(finished / "results/world_metrics.json")["entries"]}
    at = {row["lambda"]: row["metrics"] for row in sweep["lambda"]}
    for metric in ("mAP@5", "mAP@50", "recall@10"):
        assert at[0.5][metric] == pytest.approx(entries["rp_bm"][metric])
        assert at[1.0][metric] == pytest.approx(entries["base"][metric])
    assert [row["proxies"] for row in sweep["proxies"]] == [1, 2]
    assert len(sweep["components"]) == 7 and sweep["components"][0]["metrics"] == at[0.5]
    assert len(sweep["weights"]) == 2 * 3
