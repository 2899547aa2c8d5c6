"""The tables, as Markdown, CSV and LaTeX."""

import csv

from ipcir_steps.evaluate.reporting.tables import Cell, Part, Row, parts, text


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


def test_the_composition_gap_is_over_the_better_side():
    told, (like, _) = result(), result()["entries"]
    for baseline, value in (("image_only", 0.1), ("text_only", 0.25)):
        told["entries"].append({**like, "baseline": baseline, "metrics": {"mAP@5": 0.5, "mAP@10": value}})
        # What a proxy adds to one side is no side alone.
        told["entries"].append(
            {**like, "baseline": baseline, "variant": "rp_bm", "metrics": {"mAP@10": 0.9, "mAP@5": 1}}
        )
    (part,) = parts([told], 1)
    assert part.columns == ("mAP@5", "mAP@10", "composition gap")
    gaps = {(row.baseline, row.variant): round(row.cells[-1].value, 6) for row in part.rows}
    assert gaps["ldre", "base"] == 5 and gaps["ldre", "rp_bm"] == 4  # in mAP@10: 30 and 29 above 25
    assert gaps["image_only", "base"] == -15 and gaps["text_only", "base"] == 0
    for write in (text.markdown, text.latex):
        assert "points above the better of image only and text only" in write("T", [part])
    assert "composition gap,5.0000" in text.csv("T", [part])


def test_without_both_sides_there_is_no_gap():
    told = result()
    told["entries"].append({**told["entries"][0], "baseline": "text_only"})
    (part,) = parts([told], 1)
    assert part.columns == ("mAP@5", "mAP@10") and "omposition" not in text.markdown("T", [part])


def test_tables_of_a_run(finished):
    assert "world (6 queries" in (finished / "results/tables/table1.md").read_text()
    with open(finished / "results/tables/table3.csv", newline="") as file:
        assert {row["variant"] for row in csv.DictReader(file)} >= {"base", "pi", "rp", "rp_bm", "no_proxy"}
