"""Lambda per variant on a labelled split, and its use in ranking another."""

import json

import numpy as np
import pytest

from ipcir_steps.cli import main
from ipcir_steps.core.features import Features, save_features
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.core.records import Image, Query, write_records


def _noisy(draw, rows, noise):
    return (rows + noise * draw.standard_normal(rows.shape)).astype(np.float32)


@pytest.fixture
def world(tmp_path):
    """60 queries in 300 images; text and robust proxy are views of the target, the control's proxies are noise."""
    draw = np.random.default_rng(3)
    gallery = draw.standard_normal((300, 16)).astype(np.float32) + 1
    queries = [Query(f"q{i}", f"im{i + 100}", ("c",), (f"im{i}",)) for i in range(60)]
    ids = [query.query_id for query in queries]
    write_records(tmp_path / "queries.jsonl", queries)
    write_records(tmp_path / "gallery.jsonl", [Image(f"im{i}", f"im{i}.png") for i in range(300)])
    save_features(tmp_path / "gallery.safetensors", Features(gallery, [f"im{i}" for i in range(300)]))
    save_features(tmp_path / "text.safetensors", Features(_noisy(draw, gallery[:60], 1.5), ids))
    sides = {"pi": 0.8, "rp": 0.8, "no_proxy": 3.0, "other_proxy": 100.0}
    for name, noise in sides.items():
        save_features(tmp_path / f"{name}.safetensors", Features(_noisy(draw, gallery[:60], noise), ids))
    return tmp_path


def _arguments(world):
    inputs = ["--text", world / "text.safetensors", "--gallery", world / "gallery.safetensors"]
    inputs += ["--queries", world / "queries.jsonl", "--gallery-images", world / "gallery.jsonl", "--fusion"]
    return [*map(str, inputs), *(str(world / f"{v}.safetensors") for v in ("pi", "rp", "no_proxy", "other_proxy"))]


def test_each_variant_gets_its_own_lambda_and_ranking_uses_it(world):
    grid = [0.0, 0.25, 0.5, 0.75, 1.0]
    settings = ["--settings", json.dumps({"lambdas": grid})]
    output = ["--benchmark", "circo", "--output", str(world / "balance.json")]
    assert main(["balance", *_arguments(world), *output, *settings]) == 0
    found = read_json(world / "balance.json")
    assert found["key"] == "mAP@10" and found["queries"] == 60
    for variant, curve in found["curves"].items():
        chosen = found["chosen"][variant]
        assert chosen["value"] == max(curve) == curve[grid.index(chosen["lambda"])]
    assert found["chosen"]["rp_bm"]["lambda"] < 1 and found["chosen"]["other_proxy"]["lambda"] == 1.0
    assert len({round(curve[-1], 9) for curve in found["curves"].values()}) == 1  # lambda 1 is the text alone

    variants = ["base", "pi", "rp", "rp_bm", "no_proxy", "other_proxy"]
    ranking = ["ranking", *_arguments(world), "--variants", *variants, "--output-dir", str(world / "lists")]
    assert main([*ranking, "--balance", str(world / "balance.json")]) == 0
    for variant in ("rp_bm", "pi"):
        rankings, scored = (str(world / "lists" / f"{variant}.{end}") for end in ("rankings.parquet", "metrics.json"))
        queries = ["--queries", str(world / "queries.jsonl")]
        assert main(["metrics", "--rankings", rankings, *queries, "--benchmark", "circo", "--output", scored]) == 0
        assert read_json(scored)["metrics"]["mAP@10"] == pytest.approx(found["chosen"][variant]["value"], abs=1e-12)


def test_hidden_targets_and_a_wrong_file_are_refused(world, capsys):
    write_json(world / "wrong.json", {"lambda": 0.3})
    ranking = ["ranking", *_arguments(world), "--variants", "base", "--output-dir", str(world / "lists")]
    assert main([*ranking, "--balance", str(world / "wrong.json")]) == 2
    assert "wrong.json: field 'chosen': is missing" in capsys.readouterr().err
    write_records(world / "queries.jsonl", [Query(f"q{i}", f"im{i + 100}", ("c",)) for i in range(60)])
    output = ["--benchmark", "circo", "--output", str(world / "balance.json")]
    assert main(["balance", *_arguments(world), *output]) == 2
    assert "queries without targets" in capsys.readouterr().err and not (world / "balance.json").exists()
