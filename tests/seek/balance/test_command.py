"""``ipcir balance`` and the ranking that reads what it wrote."""

import argparse
import json

import numpy as np
import pytest
import torch
from pyarrow import parquet

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.core.rankings import read_rankings
from ipcir_steps.core.records import Image, write_records
from ipcir_steps.seek import balance, ranking
from ipcir_steps.variants import BASE, PROXIES, VARIANTS

NAMES = {"target": "target_captions", "source": "source_captions"}


@pytest.fixture
def tree(tmp_path, world):
    made = world([(range(30), range(5))])
    ids = made.features["proxies"].names
    values = made.features | {
        "text": Features(made.inputs.text.numpy(), ids),
        "gallery": Features(made.inputs.gallery.numpy(), tuple(made.inputs.names)),
    }
    for name, features in values.items():
        save_features(tmp_path / f"{NAMES.get(name, name)}.safetensors", features)
    write_records(tmp_path / "gallery.jsonl", [Image(name, f"{name}.png") for name in made.inputs.names])
    write_records(tmp_path / "queries.jsonl", made.inputs.queries)
    return tmp_path


def call(module, directory, *features, **options):
    parser = argparse.ArgumentParser()
    module.arguments(parser)
    words = ["--queries", directory / "queries.jsonl", "--gallery-images", directory / "gallery.jsonl"]
    for name in ("text", "gallery", *features):
        words += [f"--{name.replace('_', '-')}", directory / f"{name}.safetensors"]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", *(value if isinstance(value, list) else [value])]
    module.main(parser.parse_args(list(map(str, words))))


def run(directory, rule="captions", output="balance.json"):
    call(balance, directory, *balance.FEATURES, rule=rule, output=directory / output, output_dir=directory / "balanced")
    fusion = [directory / f"balanced/{name}.safetensors" for name in PROXIES]
    call(ranking, directory, fusion=fusion, lambda_file=directory / output, variants=list(VARIANTS),
         output_dir=directory / "lists", settings='{"k": 10}')  # fmt: skip
    return read_json(directory / output)


def test_each_query_is_ranked_with_its_own_lambda(tree):
    told = run(tree)
    assert told["rule"] == "captions" and set(told["queries"]) == set(VARIANTS) - {BASE}
    assert told["trust"]["rp"] == pytest.approx(0.5, abs=0.1) and told["trust"]["other_proxy"] < 0.2
    assert set(told["sides"]["rp"]) == {"text_dispersion", "proxy_dispersion", "correlation"}
    lams = told["queries"]["rp"]
    assert len(lams) == 60 and len(set(lams.values())) > 20
    assert told["chosen"]["rp"]["lambda"] == pytest.approx(np.mean(list(lams.values())), abs=1e-3)
    text, gallery, fused = (load_features(tree / f"{name}.safetensors") for name in ("text", "gallery", "balanced/rp"))
    images = torch.nn.functional.normalize(torch.from_numpy(np.array(gallery.values)), dim=1)
    s_t, s_p = (torch.from_numpy(np.array(side.values)) @ images.T for side in (text, fused))
    for variant, term in {"rp_bm": s_t * s_p, "rp": s_p}.items():
        lists = read_rankings(tree / f"lists/{variant}.rankings.parquet")
        for row, query in enumerate(text.names):
            lam = told["queries"][variant][query]
            order = (lam * s_t[row] + (1 - lam) * term[row]).topk(10).indices.tolist()
            assert lists[query] == [gallery.names[at] for at in order]
    about = json.loads(parquet.read_schema(tree / "lists/rp_bm.rankings.parquet").metadata[b"ipcir"])
    assert about["rule"] == "captions" and about["lambda"] == told["chosen"]["rp_bm"]["lambda"]
    assert "rule" not in json.loads(parquet.read_schema(tree / "lists/base.rankings.parquet").metadata[b"ipcir"])


def test_it_is_deterministic_and_does_not_depend_on_the_order_of_the_queries(tree):
    run(tree)
    first = [(tree / name).read_bytes() for name in ("balance.json", "balanced/rp.safetensors")]
    run(tree)
    assert first == [(tree / name).read_bytes() for name in ("balance.json", "balanced/rp.safetensors")]
    lines = (tree / "queries.jsonl").read_text().splitlines(keepends=True)
    (tree / "queries.jsonl").write_text("".join(reversed(lines)))
    turned = run(tree, output="turned.json")
    for variant, lams in read_json(tree / "balance.json")["queries"].items():
        assert turned["queries"][variant] == pytest.approx(lams, abs=2e-4)


@pytest.mark.parametrize("value", [None, 1.5, "x"])
def test_a_query_without_a_lambda_is_named(tree, value):
    told = run(tree)
    told["queries"]["rp"]["q5"] = value
    write_json(tree / "balance.json", told)
    with pytest.raises(InputError, match=r"balance.json.*q5.*rp"):
        call(ranking, tree, fusion=[tree / "balanced/rp.safetensors"], lambda_file=tree / "balance.json",
             variants=["rp"], output_dir=tree / "lists")  # fmt: skip
