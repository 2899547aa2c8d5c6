"""ipcir frontier on worlds with known noise, held against fusion, ranking and scoring of their own."""

import json

import numpy as np
import pytest
import torch

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.cli import main
from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.core.records import read_queries
from ipcir_steps.evaluate.frontier.rows import chosen
from ipcir_steps.seek.fusion import robust_proxy, semantic_perturbation
from ipcir_steps.seek.ranking import rank
from ipcir_steps.seek.stopping.search import overlap

PARTS = ("references", "target_captions", "source_captions")
KEY, LAM = "mAP@10", 0.3


@pytest.fixture
def world(noisy):
    """With a setting of which only two thirds of the proxies are there, and one whose proxies mean nothing."""
    directory = noisy()
    drawn = load_features(directory / "proxies.safetensors")
    noise = np.random.default_rng(0).standard_normal(drawn.values.shape).astype(np.float32)
    for name, values in {"fewer": drawn.values[:, :2], "noise": noise}.items():
        save_features(directory / f"{name}.safetensors", Features(np.array(values), drawn.names))
    costs = {name: {"operations": each} for name, each in (("configured", 100.0), ("fewer", 50.0), ("noise", 1.0))}
    costs["configured"] |= {"seconds": 0.5, "processor": 0.4}
    write_json(directory / "costs.json", {"settings": costs})
    return directory


@pytest.fixture
def compare(world, options):
    """A function that runs the command and gives {name of a row: row} and the whole result."""

    def run(*more, **settings):
        words = ["frontier", "--dataset", "noisy", *options(world, *PARTS), "--costs", world / "costs.json"]
        words += ["--drawn", f"configured={world / 'proxies.safetensors'}"]
        words += [f"{name}={world / name}.safetensors" for name in ("fewer", "noise")]
        words += ["--lambda", LAM, "--benchmark", "circo", "--resamples", 200, "--output", world / "frontier.json"]
        assert main(list(map(str, [*words, *more, "--settings", json.dumps(settings)]))) == 0
        result = read_json(world / "frontier.json")
        return {row["name"]: row for row in result["rows"]}, result

    return run


def parts_of(world):
    names = ("text", "gallery", "proxies", *PARTS)
    return {name: torch.tensor(load_features(world / f"{name}.safetensors").values) for name in names}


def searched(world, proxies, rows=None, scale="dataset"):
    """(rows of the gallery [Q, 50], mAP@10) of eq. 1 and 2 for some proxies, written with the parts' own functions."""
    parts = parts_of(world)
    perturbation = semantic_perturbation(*(parts[name].transpose(0, 1) for name in PARTS[1:]))
    fused = robust_proxy(proxies, parts["references"], perturbation, scale=scale)
    indices = rank(parts["text"], parts["gallery"], 50, fused, (LAM,))[0][0]
    queries = read_queries(world / "queries.jsonl")
    lists = {query.query_id: [f"im{n}" for n in row] for query, row in zip(queries, indices.tolist(), strict=True)}
    return indices, BENCHMARKS["circo"].total(lists, queries)[KEY]


def test_rows_are_those_of_fusion_ranking_and_scoring(world, compare):
    rows, result = compare(counts=[1])
    assert list(rows) == [
        "none", "configured", "configured, 1 drawn", "fewer", "fewer, 1 drawn", "noise", "noise, 1 drawn",
    ]  # fmt: skip
    proxies = parts_of(world)["proxies"]
    everything, whole = searched(world, proxies)
    for name, count in (("configured", 3), ("configured, 1 drawn", 1), ("fewer", 2), ("fewer, 1 drawn", 1)):
        lists, value = searched(world, proxies[:, :count])
        row = rows[name]
        assert row["value"] == row["metrics"]["rp_bm"] == pytest.approx(value)
        assert row["difference"]["value"] == pytest.approx(value - whole)
        assert row["difference"]["low"] <= row["difference"]["value"] <= row["difference"]["high"]
        assert row["gain"]["value"] == pytest.approx(value - rows["none"]["value"])
        pairs = zip(lists[:, :10].tolist(), everything[:, :10].tolist(), strict=True)
        same = [len(set(ours) & set(theirs)) / 10 for ours, theirs in pairs]
        assert row["overlap"] == pytest.approx(np.mean(same))
        assert row["drawn"] == count
    units = torch.nn.functional.normalize(proxies, dim=-1)
    angle = torch.nn.functional.cosine_similarity(units[:, :2].mean(1), units.mean(1)).mean()
    assert rows["fewer"]["cosine"] == pytest.approx(angle.item(), rel=1e-5)
    assert rows["configured"]["cosine"] == pytest.approx(1) and rows["configured"]["overlap"] == 1
    assert rows["noise"]["value"] < whole and rows["noise"]["overlap"] < rows["fewer"]["overlap"]
    assert rows["fewer, 1 drawn"]["operations"] == 50 and rows["configured"]["operations"] == 300
    assert result["key"] == KEY and result["queries"] == 60


def test_what_needs_no_proxy_is_the_same_in_every_row(world, compare):
    rows, _ = compare(top=5)
    assert rows["none"]["metrics"].keys() == {"base", "no_proxy"} and rows["none"]["operations"] == 0
    for row in rows.values():
        assert {name: row["metrics"][name] for name in ("base", "no_proxy")} == rows["none"]["metrics"]
    parts = parts_of(world)
    indices = rank(parts["text"], parts["gallery"], 50)[0][0]
    queries = read_queries(world / "queries.jsonl")
    lists = {query.query_id: [f"im{n}" for n in row] for query, row in zip(queries, indices.tolist(), strict=True)}
    assert rows["none"]["metrics"]["base"] == pytest.approx(BENCHMARKS["circo"].total(lists, queries)[KEY])


def test_a_query_without_proxies_keeps_the_list_of_the_text(world, compare):
    drawn = load_features(world / "proxies.safetensors")
    values = np.array(drawn.values)
    values[:30] = 0
    save_features(world / "fewer.safetensors", Features(values, drawn.names, drawn.names[:30]))
    rows, _ = compare()
    low, high = sorted((rows["none"]["metrics"]["base"], rows["configured"]["value"]))
    assert low < rows["fewer"]["value"] < high and rows["fewer"]["cosine"] == pytest.approx(1)


def test_drawing_stops_where_the_list_has_settled(world, compare):
    """Each query by itself: with the scale of a query nothing depends on when the others stop."""
    bound = 0.8
    rows, _ = compare(settled=[bound], fusion={"scale": "query"})
    row, proxies = rows["configured, settled 0.8"], parts_of(world)["proxies"]
    lists = [searched(world, proxies[:, :n], scale="query")[0][:, :10].tolist() for n in (1, 2, 3)]
    same = [len(set(one) & set(two)) / 10 for one, two in zip(lists[0], lists[1], strict=True)]
    counts = [2 if overlap >= bound else 3 for overlap in same]
    assert row["per_query"]["drawn"] == counts and set(counts) == {2, 3}
    reasons = {2: "its list has settled", 3: "all were drawn"}
    assert row["per_query"]["reason"] == [reasons[count] for count in counts]
    assert row["reasons"]["its list has settled"] == counts.count(2)
    assert row["drawn"] == pytest.approx(np.mean(counts)) and row["operations"] == pytest.approx(100 * row["drawn"])
    assert rows["configured"]["drawn"] == 3 and "fewer, settled 0.8" not in rows


def test_nothing_is_drawn_where_the_text_is_certain(world, compare):
    rows, _ = compare(certain=[0.0, 0.05, 2.0])
    assert rows["configured, certain 0"]["drawn"] == 0
    assert rows["configured, certain 0"]["value"] == rows["none"]["value"]
    assert rows["configured, certain 2"]["value"] == rows["configured"]["value"]
    parts = parts_of(world)
    units = torch.nn.functional.normalize(parts["gallery"], dim=1)
    cosines = torch.nn.functional.normalize(parts["text"], dim=1) @ units.T
    first, second = cosines.topk(2).values.unbind(1)
    skipped = (first - second >= 0.05).tolist()
    found = rows["configured, certain 0.05"]["per_query"]
    assert [count == 0 for count in found["drawn"]] == skipped and set(skipped) == {True, False}
    assert [reason == "the text is certain" for reason in found["reason"]] == skipped


def row(name, operations, low, high, drawn=1, **more):
    return {
        "name": name,
        "operations": operations,
        "drawn": drawn,
        "value": 0,
        "difference": {"low": low, "high": high},
    } | more


def test_the_cheapest_that_is_not_worse_is_chosen():
    rows = [
        row("none", 0, -0.2, -0.1, drawn=0), row("whole", 9, 0, 0), row("cheap", 2, -0.03, 0.01),
        row("cheaper", 1, -0.04, -0.01), row("unknown", None, 0, 1), row("rule", 1, 0, 1, bounds={}),
    ]  # fmt: skip
    assert chosen(rows, None) == {"any": "cheap", "imagined": "cheap"}
    assert chosen(rows, 0.02) == {"any": "whole", "imagined": "whole"}
    assert chosen(rows, 0.05) == {"any": "cheaper", "imagined": "cheaper"}
    assert chosen([row("none", 0, -0.1, 0.1, drawn=0), *rows], None) == {"any": "none", "imagined": "cheap"}


def test_table_and_figure(world, compare):
    files = [word for name in ("table", "svg", "png", "page") for word in (f"--{name}", world / f"out.{name}")]
    _, result = compare(*files, "--mark", "TOY MODELS", counts=[1], settled=[0.8])
    lines = (world / "out.table").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(result["rows"]) and any("TOY MODELS" in line for line in lines)
    whole = next(line for line in table if line.startswith("| configured |"))
    assert "| 100.0% | 1.5 | 1.2 |" in whole  # seconds of three images
    assert "TOY MODELS" in (world / "out.svg").read_text() and (world / "out.png").stat().st_size > 10_000
    assert "seconds" not in json.dumps(result)  # results hold no times
    assert (world / "out.page").read_text().count("<tr data-name=") == len(result["rows"])


def test_the_configured_setting_is_needed(world, options, capsys):
    words = ["frontier", "--dataset", "noisy", *options(world, *PARTS), "--costs", world / "costs.json"]
    words += ["--drawn", f"fewer={world / 'fewer.safetensors'}", "--benchmark", "circo"]
    assert main(list(map(str, [*words, "--output", world / "x.json"]))) == 2
    assert "lacks configured=FILE" in capsys.readouterr().err


def test_pictures_need_to_know_where_the_dataset_lies(world, options, capsys):
    words = ["frontier", "--dataset", "noisy", *options(world, *PARTS), "--costs", world / "costs.json"]
    words += ["--drawn", f"configured={world / 'proxies.safetensors'}", "--benchmark", "circo", "--lambda", LAM]
    words += ["--output", world / "x.json", "--page", world / "x.html"]
    words += ["--indices", f"configured={world}/queries.jsonl"]
    assert main(list(map(str, words))) == 2
    assert "'--reference-images': is missing" in capsys.readouterr().err


def test_overlaps_are_summed_in_the_order_of_the_queries():
    """A sum in the order of a set of texts has other last digits in every process."""
    lists = {f"q{number}": [("a", 1.0)] for number in range(50)}
    assert list(overlap(lists, dict(reversed(lists.items())), 10)) == list(lists)
