"""The leaderboard: the literature with its protocols beside own runs, as a page in a real browser and as a CSV."""

import csv
import json
import re

import pytest

from ipcir_steps import cli
from ipcir_steps.core.files import write_json
from ipcir_steps.evaluate.literature import read_reported
from ipcir_steps.evaluate.reporting.leaderboard import page, rows
from tests.evaluate.test_literature import ROW, write

HOSTILE = "</script><script>alert(1)</script> & [[script]] <b>"


def result(**more):
    """A result file of CIRCO's validation split: base, the method and a control."""
    change = {"mAP@10": {"value": 0.031, "low": 0.01, "high": 0.05}}
    known = {"mAP@10": {"value": 0.2741, "delta": 0.0259, "split": "test", "source": "a paper"}}
    like = {"backbone": "ViT-L-14", "baseline": "ldre", "queries": 220, "failures": 1, "published": {}}
    base = {**like, "variant": "base", "description": "text", "difference": {}, "metrics": {"mAP@10": 0.269}}
    ours = {**base, "variant": "rp_bm", "difference": change, "published": known, "metrics": {"mAP@10": 0.3}}
    control = {**base, "variant": "no_proxy", "difference": change, "metrics": {"mAP@10": 0.28, "recall@1": 0.5}}
    stack = {"name": "mine", "toy": False, "changed": ["fusion.scale"], "mark": ""}
    told = {"dataset": "circo", "protocol": "circo", "protocol_text": "rules", "queries": 220, "provenance": "ab" * 32}
    return {**told, "stack": stack, "failures": {"queries": 1}, "entries": [base, ours, control], **more}


def part(name, *results):
    return next(part for part in rows.parts(read_reported(), results) if part.name == name)


def row_of(found, ident):
    return next(row for table in found.tables for row in table.rows if row.id == ident)


def test_own_runs_stand_in_the_table_of_their_backbone():
    found = part("circo", result())
    (table,) = [table for table in found.tables if table.family == "ViT-L/14"]
    ours = row_of(found, "circo/ViT-L-14/ldre/rp_bm")
    assert ours in table.rows and ours.kind == "own run" and (ours.method, ours.variant) == ("LDRE", "IP-CIR")
    value = ours.values["mAP@10"]
    assert (value.shown, round(value.change, 6), round(value.delta, 6)) == ("30.00", 3.1, 2.59)
    assert "labelled split (220 queries)" in ours.differs[0] and ours.told["changed settings"] == "fusion.scale"
    assert ours.told["text"] == "target captions by a language model" and ours.told["failed queries"] == "1"
    control = row_of(found, "circo/ViT-L-14/ldre/no_proxy")
    assert control.kind == "control" and list(control.values) == ["mAP@10"]
    assert {part.name for part in rows.parts(read_reported(), [])} == set(rows.PROTOCOLS)


def test_toy_models_subsets_and_other_data_are_kept_apart():
    toy = result(stack={"name": "mini", "toy": True, "changed": [], "mark": "TOY MODELS"})
    assert row_of(part("circo", toy), "circo/ViT-L-14/ldre/base").differs[0] == "TOY MODELS"
    mine = part("mine", result(dataset="mine"))
    assert [len(table.rows) for table in mine.tables] == [3] and not mine.tables[0].rows[0].differs
    entries = [{"metrics": entry["metrics"], "difference": {}} for entry in result()["entries"]]
    some = {"some": {"queries": 9, "failures": {"queries": 0}, "entries": entries}}
    assert "9 of 220 queries" in part("circo, subset some", result(subsets=some)).caution


def test_another_protocol_is_seen():
    found = part("circo")
    assert row_of(found, "circo/magiclens-l/vit-l-14").differs == ("reads CIRCO's shared_concept",)
    assert row_of(found, "circo/cirevl/vit-g-14").differs == ()  # what is not stated is no difference
    pairs = part("fashioniq_pairs")
    assert all(row.differs == ("trained on the benchmark's own triplets",) for t in pairs.tables for row in t.rows)
    like = next(row for row in read_reported() if row.id == "circo/cirevl/vit-g-14")
    other = type(like)(**{**vars(like), "split": "val", "gallery": "validation images", "reference": "removed"})
    assert rows.differences(other) == (
        "split: val, not test",
        "gallery: validation images, not COCO 2017 unlabeled, 123403 images",
        "reference: removed, not kept",
    )


def test_reproductions_say_how_far_they_are_off():
    again = row_of(part("circo"), "circo/cirevl/again-zhaojingj")
    value = again.values["mAP@5"]
    assert again.kind == "reproduction" and again.reproduces == "circo/cirevl/vit-g-14"
    assert (value.other, round(value.delta, 2)) == (26.77, -4.01)


def test_one_line_per_value_in_the_csv():
    lines = list(csv.DictReader(page.csv(rows.parts(read_reported(), [result()])).splitlines()))
    assert len(lines) == sum(len(row.values) for row in read_reported()) + 3
    ours = next(line for line in lines if line["id"] == "circo/ViT-L-14/ldre/rp_bm")
    assert (ours["percent"], ours["difference"], ours["compared_with"]) == ("30.00", "3.1000", "27.4100")
    again = next(line for line in lines if line["id"] == "circo/cirevl/again-author" and line["metric"] == "mAP@5")
    assert (again["percent"], again["delta"], again["family"]) == ("25.77", "-1.0000", "ViT-G/14")


def test_the_command_takes_any_number_of_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["leaderboard", "--html", "a.html", "--csv", "a.csv"]) == 0
    assert not re.search(r"""(src|href)=["'](?!data:)""", (tmp_path / "a.html").read_text())
    write_json(tmp_path / "circo_metrics.json", result(dataset=HOSTILE))
    more = write(tmp_path / "more.csv", {**ROW, "method": HOSTILE})
    words = ["--results", "circo_metrics.json", "--literature", str(more), "--html", "b.html", "--csv", "b.csv"]
    assert cli.main(["leaderboard", *words]) == 0
    text = (tmp_path / "b.html").read_text()
    assert text.count("</script>") == 2 and text.count("<script>") == 1
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)[1])
    assert data["parts"][-1]["name"] == HOSTILE


def test_a_run_has_one(finished):
    text = (finished / "results/tables/leaderboard.html").read_text()
    record = json.loads((finished / "provenance/results/tables/leaderboard.html.json").read_text())
    assert record["id"] in text and '"world"' in text


@pytest.fixture
def opened(watched, tmp_path):
    more = write(tmp_path / "more.csv", {**ROW, "method": HOSTILE, "read_in": "javascript:alert(1)"})
    found = rows.parts(read_reported(more), [result(), result(dataset=HOSTILE)])
    (tmp_path / "page.html").write_text(page.html(found, "TOY & MODELS"), encoding="utf-8")
    return watched(tmp_path / "page.html")


@pytest.mark.slow
def test_tables_are_sorted_by_click_and_by_key(opened):
    table = opened.locator("#parts section", has=opened.locator("h2", has_text=re.compile("^circo$"))).locator("table")
    table = table.filter(has=opened.locator("caption", has_text="ViT-L/14"))
    lines, head = table.locator("tbody tr"), table.locator("thead th")

    def first_number(place):
        return float(lines.locator(f"td:nth-child({place})").first.inner_text())

    # Reproductions stand below what they repeat, so only the others are in order.
    lines_of_others = table.locator("tbody tr:not(.reproduction)")
    first = [text.split()[0] for text in lines_of_others.locator("td:nth-child(4)").all_inner_texts()]
    numbers = [float(text) for text in first if text != "–"]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) > 20
    assert head.nth(3).get_attribute("aria-sort") == "descending"
    head.nth(2).locator("button").click()
    assert head.nth(2).get_attribute("aria-sort") == "descending" and head.nth(3).get_attribute("aria-sort") is None
    assert first_number(3) == 39.82
    opened.keyboard.press("Enter")
    assert head.nth(2).get_attribute("aria-sort") == "ascending" and first_number(3) == 1.8
    for _ in range(2):
        opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Space")  # by method, from a to z
    names = [text.split("\n")[0].lower() for text in lines_of_others.locator("button.open").all_inner_texts()]
    assert names == sorted(names) and head.nth(0).get_attribute("aria-sort") == "ascending"
    place = lines.evaluate_all("lines => lines.map(line => line.dataset.id)")
    assert place.index("circo/lincir/released-model") == place.index("circo/lincir/vit-l-14") + 1


@pytest.mark.slow
def test_rows_open_and_are_filtered(opened):
    assert opened.locator("p.mark").inner_text() == "TOY & MODELS"
    count = opened.locator("#count")
    everything = int(count.inner_text().split()[0])
    assert everything == len(read_reported()) + 1 + 6
    opened.keyboard.press("/")
    opened.keyboard.type("alert(1)")
    # The hostile names are text, and what is no https address is no link.
    assert opened.locator("tbody tr").count() == 4 and opened.locator("h2").last.inner_text() == HOSTILE
    opened.locator("button.open").first.click()
    detail = opened.locator("tr.detail")
    assert "javascript:alert(1)" in detail.inner_text() and detail.locator("a").count() == 0
    opened.locator("#search").fill("zhaojingj")
    line = opened.locator("tbody tr")
    assert line.count() == 1 and "-4.01" in line.inner_text()
    line.locator("button.open").focus()
    opened.keyboard.press("Enter")
    address = opened.locator("tr.detail a").get_attribute("href")
    assert address == "https://github.com/ExplainableML/Vision_by_Language/issues/4"
    opened.locator("#search").fill("")
    opened.get_by_role("button", name="benchmark's own protocol only").click()
    assert opened.locator("tr.differs").count() == 0 < int(count.inner_text().split()[0]) < everything
    for name in ("literature", "reproductions", "controls"):
        opened.get_by_role("button", name=re.compile(f"^{name} ")).click()
    assert opened.locator("tbody tr").count() == 2  # base and IP-CIR of the data of one's own


@pytest.mark.slow
def test_a_phone_shows_it_in_the_dark(chromium, tmp_path):
    (tmp_path / "page.html").write_text(page.html(rows.parts(read_reported(), [])), encoding="utf-8")
    tab = chromium.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    tab.goto((tmp_path / "page.html").as_uri())
    tab.locator("button.open").nth(2).click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(27, 27, 27)"
    tab.close()
