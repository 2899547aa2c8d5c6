"""Every figure and table: drawn from real files, the same bytes twice, with its record inside."""

import csv
import itertools
import re
import shutil
from pathlib import Path

import PIL.Image
import pytest

from ipcir_steps import cli
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, sha256
from ipcir_steps.core.records import Query
from ipcir_steps.evaluate.reporting.examples import Example, lost, told, won
from ipcir_steps.evaluate.reporting.figures import cards, costs, curves
from ipcir_steps.evaluate.reporting.figures.queries import place
from ipcir_steps.evaluate.reporting.tables import Cell, Part, Row, parts, text
from ipcir_steps.provenance.audit.pictures import carried
from ipcir_steps.variants import VARIANTS

DRAWN = [
    "world", *cards.names("results"), *cards.names("sweeps"), *(f"world/{name}" for name in cards.names("queries")),
]  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_each_figure_is_a_picture_that_carries_its_record(finished, name):
    svg, png = (finished / f"results/figures/{name}.{end}" for end in ("svg", "png"))
    record = read_json(finished / f"provenance/results/figures/{name}.svg.json")
    assert carried(svg) == carried(png) == record["id"]
    with PIL.Image.open(png) as image:
        colours = image.convert("RGB").getcolors(1 << 24)
    assert len(colours) > 20 and max(count for count, _ in colours) < image.width * image.height
    assert not re.search(r"<dc:date>", svg.read_text())


@pytest.mark.parametrize("name", ["fig7", "world/fig4"])
def test_the_same_inputs_give_the_same_bytes(finished, name, tmp_path, monkeypatch):
    record = read_json(finished / f"provenance/results/figures/{name}.svg.json")
    monkeypatch.chdir(shutil.copytree(finished, tmp_path / "copy"))
    monkeypatch.setenv("IPCIR_PROVENANCE", "provenance")
    before = {end: sha256(f"results/figures/{name}.{end}") for end in ("svg", "png")}
    for end in before:
        Path(f"results/figures/{name}.{end}").unlink()
    import shlex

    assert cli.main(shlex.split(record["command"])[1:]) == 0
    assert {end: sha256(f"results/figures/{name}.{end}") for end in before} == before


def example(number, base, better):
    names = [str(n) for n in range(20)]
    lists = {
        variant: [*names[: rank - 1], "t", *names[rank - 1 :]] for variant, rank in (("base", base), ("rp_bm", better))
    }
    return Example(Query(f"q{number}", "r", ("c",), ("t",)), lists)


def test_examples_are_chosen_by_what_they_show():
    given = [example(0, 3, 3), example(1, 10, 1), example(2, 1, 8), example(3, 4, 2)]
    assert [e.query.query_id for e in won(given, 2)] == ["q1", "q3"]
    assert [e.query.query_id for e in lost(given, 9)] == ["q2", "q0", "q3"]
    assert [e.query.query_id for e in told(given, 9)] == ["q1"]
    assert given[1].gain() == pytest.approx(0.9) and place(given[1], "base") == "target at 10"
    assert place(Example(Query("q", "r", ("c",), ("x",)), {"base": ["a"]}), "base") == "target below 1"


def test_a_figure_without_queries_says_so():
    from ipcir_steps.evaluate.reporting.examples import Collection
    from ipcir_steps.evaluate.reporting.figures import queries

    nothing = Collection([example(1, 1, 1)], {})
    for draw in (queries.failures, queries.ablation):
        figure = draw(nothing, 4, "photos")
        assert "no such query" in [text.get_text() for axis in figure.axes for text in axis.texts]
    remark = queries.failures(nothing, 4, "photos").get_supxlabel()
    assert "of the 0 queries of 1" in " ".join(remark.split()) and "\n" in remark


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


def test_several_baselines_are_lines_of_one_panel(finished):
    sweep = read_json(finished / "results/world/val/mini/ldre/sensitivity.json")
    sweeps = [sweep | {"dataset": "d", "backbone": "b", "baseline": name} for name in ("ldre", "searle", "mine")]
    figure = curves.lambdas(sweeps)
    assert [line.get_label() for line in figure.axes[0].lines[:3]] == ["LDRE, b", "SEARLE, b", "mine, b"]
    assert len(curves.components(sweeps).axes[0].patches) == 21


def test_colours_are_told_apart_in_grey():
    """Bars of one group differ in luminance or are neighbours of a different kind; no two are the same grey."""
    from matplotlib.colors import to_rgb

    grey = sorted(
        sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), to_rgb(v), strict=True))
        for v in (variant.colour for variant in VARIANTS.values())
    )
    assert all(high - low > 0.005 for low, high in itertools.pairwise(grey))


def test_costs_are_summed_over_shards(tmp_path):
    for name, wall in (
        ("captions/0", 2),
        ("captions/1", 3),
        ("mini/gallery", 4),
        ("mini/ldre/ranking", 5),
        ("failures", 9),
    ):
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{wall}\t0:0:1\t{100 * wall}\t-\n")
    found = costs.measured(tmp_path)
    assert {step: value["wall"] for step, value in found.items()} == {"captions": 5, "embeddings": 4, "ranking": 5}
    assert found["captions"]["peak"] == 300 and found["captions"]["cpu"] == 0
    assert (
        costs.gpu_seconds([{"seconds": 10, "host": {"gpus": ["a", "b"]}}, {"seconds": 5, "host": {"gpus": []}}]) == 20
    )
    costs.costs({"d": found}, {"d": 2}, {"d": 7200.0})
    with pytest.raises(InputError, match="no benchmark files"):
        costs.costs({"d": {}}, {"d": 2}, {"d": 0.0})


def result(protocol="circo"):
    change = {"mAP@5": {"value": 0.031, "low": 0.01, "high": 0.05}}
    known = {"mAP@5": {"value": 0.25, "delta": 0.02, "split": "test", "source": "a paper"}}
    base = {"backbone": "B_1", "baseline": "ldre", "variant": "base", "difference": {}, "published": {}}
    ours = {**base, "variant": "rp_bm", "difference": change, "published": known}
    metrics = {"mAP@5": 0.2389, "mAP@10": 0.3}
    return {
        "dataset": "d", "protocol": protocol, "queries": 9, "failures": {"queries": 1},
        "entries": [{**base, "metrics": metrics}, {**ours, "metrics": {"mAP@5": 0.27, "mAP@10": 0.29}}],
    }  # fmt: skip


def test_tables_hold_differences_intervals_and_published_values():
    (part,) = parts([result()], 1)
    assert part == Part("d", "circo", 9, 1, ("mAP@5", "mAP@10"), part.rows) and isinstance(part.rows[0], Row)
    cell = part.rows[1].cells[0]
    assert isinstance(cell, Cell) and (round(cell.value, 6), round(cell.delta, 6)) == (27.0, 2.0)
    shown = text.markdown("T", [part])
    assert "| B_1 | LDRE, IP-CIR | **27.00** (+3.10 [+1.00, +5.00]) | 29.00 |" in shown
    assert "| | *published (test), and ours minus it* | 25.00 (+2.00) |  |" in shown and "**30.00**" in shown
    rows = list(csv.DictReader(text.csv("T", [part]).splitlines()))
    assert rows[2]["difference"] == "3.1000" and rows[2]["published"] == "25.0000" and rows[0]["low"] == ""
    latex = text.latex("T", [part])
    assert r"B\_1 & LDRE & 23.89 & \textbf{30.00} \\" in latex and latex.count(r"\begin{tabular}") == 1
    assert parts([result()], 2) == [] and "None of this run's datasets" in text.markdown("T", [])


def test_tables_of_a_run(finished):
    assert "world (6 queries" in (finished / "results/tables/table1.md").read_text()
    with open(finished / "results/tables/table3.csv", newline="") as file:
        assert {row["variant"] for row in csv.DictReader(file)} >= {"base", "pi", "rp", "rp_bm", "no_proxy"}
