"""``ipcir tune``: per variant, over the weights, and without labels."""

import json

import pytest

from ipcir_steps.cli import main
from ipcir_steps.core.files import read_json
from ipcir_steps.evaluate.tuning.sweep import PARTS
from ipcir_steps.variants import PROXIES, VARIANTS


def _fusion(directory):
    return ["--fusion", *(str(directory / f"{name}.safetensors") for name in PROXIES)]


def _tune(directory, given, *more):
    output = directory / "tuned.json"
    assert main(["tune", *given, *more, "--output", str(output)]) == 0
    return read_json(output)


def test_each_variant_gets_its_own_lambda_and_ranking_uses_it(noisy, options):
    directory, grid = noisy(), [0.0, 0.25, 0.5, 0.75, 1.0]
    given = [*options(directory), *_fusion(directory)]
    settings = ["--benchmark", "circo", "--settings", json.dumps({"lambdas": grid})]
    found = _tune(directory, given, "--per-variant", *settings)
    assert found["key"] == "mAP@10" and found["queries"] == 60 and found["lambdas"] == grid
    for variant, curve in found["curves"].items():
        chosen = found["chosen"][variant]
        assert chosen["value"] == max(curve) == curve[grid.index(chosen["lambda"])]
    assert found["chosen"]["rp_bm"]["lambda"] < 1 and found["chosen"]["other_proxy"]["lambda"] == 1.0
    assert len({round(curve[-1], 9) for curve in found["curves"].values()}) == 1  # lambda 1 is the text alone

    lists = ["ranking", *given, "--variants", *VARIANTS, "--output-dir", str(directory / "lists")]
    assert main([*lists, "--lambda-file", str(directory / "tuned.json")]) == 0
    for variant in ("rp_bm", "pi"):
        rankings, scored = (
            str(directory / "lists" / f"{variant}.{end}") for end in ("rankings.parquet", "metrics.json")
        )
        queries = ["--queries", str(directory / "queries.jsonl"), "--benchmark", "circo"]
        assert main(["metrics", "--rankings", rankings, *queries, "--output", scored]) == 0
        assert read_json(scored)["metrics"]["mAP@10"] == pytest.approx(found["chosen"][variant]["value"], abs=1e-12)


def test_the_weights_follow_the_better_side(noisy, options):
    chosen = {}
    for side, noise in {"text": (0.3, 4.0), "proxy": (3.0, 0.3)}.items():
        directory = noisy(*noise)
        settings = json.dumps({"weights": [[1, 1, 1], [1, 0, 0]], "proxies": [1, 3]})
        words = ["--benchmark", "circo", "--key", "recall@5", "--settings", settings]
        result = _tune(directory, options(directory, *PARTS), *words)
        assert len(result["labelled"]["settings"]) == 2 * 2 * 11
        best = result["labelled"]["chosen"]
        assert best["metrics"]["recall@5"] == max(row["metrics"]["recall@5"] for row in result["labelled"]["settings"])
        assert best["interval"][0] <= best["metrics"]["recall@5"] <= best["interval"][1] and best["tied"] >= 1
        chosen[side] = result
    lambdas = {side: result["labelled"]["chosen"]["lambda"] for side, result in chosen.items()}
    assert lambdas["text"] > lambdas["proxy"]
    assert all(0 <= value <= 1 for result in chosen.values() for value in result["label_free"].values())


def test_the_benchmark_says_which_metric_decides(noisy, options):
    directory = noisy()
    words = ["--benchmark", "cirr", "--settings", '{"lambdas": [0.5]}']
    assert _tune(directory, options(directory, *PARTS), *words)["labelled"]["chosen"]["key"] == "recall@5"


def test_without_labels_no_targets_are_needed(noisy, options):
    directory = noisy(targets=None)
    assert set(_tune(directory, options(directory, *PARTS))) == {"queries", "label_free"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--benchmark", "circo", "--key", "recall@7"], "field '--key': is 'recall@7', not one of mAP@5"),
        (["--per-variant", "--benchmark", "circo", "--key", "recall@7"], "'--key': is 'recall@7', not one of mAP@5"),
        (["--per-variant"], "field '--benchmark': is needed with --per-variant"),
        (["--per-variant", "--benchmark", "circo", "--settings", '{"weights": [[1, 1, 1]]}'], "field 'weights'"),
        (["--settings", '{"lambda": [0.5]}'], "field 'lambda'"),
        (["--settings", '{"lambdas": [1.5]}'], "field 'lambdas.0'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(noisy, options, capsys, words, message):
    directory = noisy()
    output = ["--output", str(directory / "tuned.json")]
    assert main(["tune", *options(directory, *PARTS), *_fusion(directory), *words, *output]) == 2
    assert message in capsys.readouterr().err and not (directory / "tuned.json").exists()


def test_what_a_mode_needs_is_named(noisy, options, capsys):
    directory = noisy(targets=None)
    output = ["--output", str(directory / "tuned.json")]
    assert main(["tune", *options(directory), *output]) == 2
    assert "field '--references': is needed without --per-variant" in capsys.readouterr().err
    words = ["--per-variant", "--benchmark", "circo", *_fusion(directory)]
    assert main(["tune", *options(directory), *words, *output]) == 2
    assert "queries.jsonl: has queries without targets" in capsys.readouterr().err
