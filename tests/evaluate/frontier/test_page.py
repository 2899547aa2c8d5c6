"""The frontier's page: whole without its script, and with it in a real browser; nothing of the data is markup."""

import json
import re
from html.parser import HTMLParser

import PIL.Image
import pytest

from ipcir_steps.core.arguments import RoleFile
from ipcir_steps.core.files import write_jsonl
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.evaluate.frontier import page
from ipcir_steps.evaluate.frontier.page import pictures

HOSTILE = "</script><script>alert(1)</script> & [[script]] <b onclick='alert(2)'>\""


def row(name, operations, value, low, high, setting=None, **more):
    return {
        "name": name, "setting": setting or name, "operations": operations, "drawn": 1, "value": value, "overlap": 0.9,
        "difference": {"value": value - 0.5, "low": low, "high": high}, "cosine": 0.99,
        "gain": {"value": value - 0.4, "low": 0.01, "high": 0.2},
        "metrics": {"base": 0.3, "no_proxy": 0.4, "rp": 0.55, "rp_bm": value, "other_proxy": 0.2}, **more,
    }  # fmt: skip


def result(**more):
    """A choice between settings of which two are cheaper; one is not counted, and one is a rule for stopping."""
    rows = [
        row("none", 0.0, 0.4, -0.12, -0.08, drawn=0.0, cosine=None),
        row("configured", 5e12, 0.5, 0, 0, drawn=5),
        row("configured, settled 0.9", 2e12, 0.49, -0.02, 0.01, setting="configured", drawn=2, cosine=None,
            bounds={"settled": 0.9}),
        row("fast", 1e11, 0.495, -0.02, 0.01),
        row("worse", 5e10, 0.2, -0.31, -0.29, cosine=-0.1),
        row("uncounted", None, 0.52, 0.01, 0.03, cosine=0.7),
    ]  # fmt: skip
    settings = {"fast": {"proxies": {"steps": 1, "scheduler": "lcm"}, "models": {"lora": "lcm"}}}
    return {
        "dataset": "mine", "protocol": "circo", "key": "mAP@10", "queries": 60, "lambda": {"rp_bm": 0.3}, "top": 10,
        "tolerance": None, "chosen": {"any": "fast", "imagined": "fast"}, "settings": settings, "rows": rows, **more,
    }  # fmt: skip


class Cells(HTMLParser):
    """The texts of the table's rows, as a browser without scripts has them."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        self.open = self.open or tag in ("td", "th")
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.open = self.open and tag not in ("td", "th")

    def handle_data(self, data):
        if self.open:
            self.rows[-1][-1] += data


def test_the_table_is_there_without_the_script():
    text = page.html(result(mark="TOY & MODELS"))
    head, *rows = Cells(text).rows
    assert [cells[0] for cells in rows] == [
        "none", "worse", "faststeps 1; scheduler lcm; model lora: lcm", "configured, settled 0.9", "configured",
        "uncounted",
    ]  # fmt: skip
    fast = dict(zip(head, rows[2], strict=True))
    assert (fast["mAP@10"], fast["to configured"], fast["same top 10"]) == ("49.50", "-0.50 [-2.00, +1.00]", "90%")
    assert (fast["TFLOP"], fast["of all"], fast["cosine"], fast["unbalanced"]) == ("0.1", "2.0%", "0.99", "55.00")
    assert dict(zip(head, rows[-1], strict=True))["of all"] == "-"
    plain = re.sub(r"<[^>]+>", "", text)
    assert "Chosen: fast costs 2.0% of the operations of configured and differs by -0.50 [-2.00, +1.00] points" in plain
    assert "A row is not worse when this interval reaches 0." in plain and "its bar touches the line" in plain
    assert "TOY &amp; MODELS" in text and not re.search(r"""(src|href)=["'](?!data:)""", text)
    assert all(f"<dt>{name}</dt>" in text.replace("&#x27;", "'") for name in head)  # every column is explained


def test_no_choice_and_another_rule_are_told():
    nobody = page.html(result(chosen={"any": None, "imagined": None}, tolerance=0.005))
    assert "No setting whose operations are counted is as good." in nobody and "above -0.5 points" in nobody
    assert "no more than 0.5 points below" in nobody
    nothing = re.sub(r"<[^>]+>", "", page.html(result(chosen={"any": "none", "imagined": "fast"})))
    assert "Chosen: none costs 0.0%" in nothing and "Of those that draw something: fast" in nothing


@pytest.fixture
def drawn(tmp_path):
    """(queries, arguments of ``pictures.read``) of ten queries, of which one setting could not draw the first."""
    (tmp_path / "root").mkdir()
    names = [f"im{n}" for n in range(10)]
    for number, name in enumerate(names):
        PIL.Image.new("RGB", (300, 200) if number else (40, 40), (20 * number, 90, 9)).save(
            tmp_path / f"root/{name}.png"
        )
    write_records(tmp_path / "references.jsonl", [Image(name, f"{name}.png") for name in names])
    queries = [Query(f"q{n}", names[n], (HOSTILE if n == 0 else "is red",), targets=(names[-1],)) for n in range(10)]
    indices = []
    for setting in ("configured", "fast"):
        images = [f"q{n}/0.png" for n in range(setting == "fast", 10)]
        for image in images:
            (tmp_path / setting / image).parent.mkdir(parents=True)
            PIL.Image.new("RGB", (64, 64), "red" if setting == "fast" else "blue").save(tmp_path / setting / image)
        records = [{"query_id": image.split("/")[0], "images": [image, "q1/1.png"]} for image in images]
        write_jsonl(tmp_path / setting / "index.jsonl", records)
        indices.append(RoleFile.parse(f"{setting}={tmp_path / setting}/index.jsonl"))
    return queries, [tmp_path / "references.jsonl"], tmp_path / "root", indices


def test_pictures_of_a_few_queries_stand_side_by_side(drawn):
    shown = pictures.read(*drawn)
    assert [one.query.query_id for one in shown] == ["q0", "q1", "q3", "q5", "q6", "q8"]
    assert [label for label, _ in shown[0].given] == ["reference", "target"]
    kinds = [picture and picture[1] for one in shown[:2] for _, picture in one.given]
    assert kinds == ["png", "jpeg", "jpeg", "jpeg"]  # what is small stays exact
    assert shown[0].drawn["fast"] is None and shown[1].drawn["fast"] != shown[1].drawn["configured"]
    text = page.html(result(), shown)
    assert text.count("<img ") == 6 * 4 - 1 and text.count("<article>") == 6
    assert text.count("</script>") == 2 and "<b onclick" not in text
    assert page.html(result(), pictures.read(*drawn)) == text


def test_hostile_names_are_text():
    name = HOSTILE.replace('"', "'")
    bad = result(
        dataset=HOSTILE, key=HOSTILE, chosen={"any": name, "imagined": name}, settings={name: {"proxies": {name: name}}}
    )
    bad["rows"].append(row(name, 1e10, 0.5, 0, 0))
    text = page.html(bad)
    assert text.count("</script>") == 2 and text.count("<script") == 2 and "<b onclick" not in text
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)[1])
    assert data["rows"][-1]["name"] == name and data["key"] == HOSTILE


@pytest.fixture
def opened(watched, tmp_path, drawn):
    (tmp_path / "page.html").write_text(page.html(result(mark="TOY"), pictures.read(*drawn)), encoding="utf-8")
    return watched(tmp_path / "page.html")


@pytest.mark.slow
def test_the_plot_is_pointed_at_and_walked_through(opened):
    told, points = opened.locator("#told"), opened.locator("#chart g.point")
    assert points.count() == 5 and opened.locator("#chart .ring").count() == 1  # all but the row that is not counted
    opened.locator("g[data-name=worse] path").hover()
    assert told.locator("b").inner_text() == "worse" and "20.00" in told.inner_text()
    assert opened.locator("tr.lit").get_attribute("data-name") == "worse"
    places = {}
    opened.locator("#chart svg").focus()
    for key, name in (("Home", "none"), ("ArrowRight", "worse"), ("ArrowRight", "fast"), ("End", "configured")):
        opened.keyboard.press(key)
        assert told.locator("b").inner_text() == name
        places[name] = opened.locator("#chart .cursor").evaluate(
            "mark => [mark.cx.baseVal.value, mark.cy.baseVal.value]"
        )
    assert places["none"][0] < places["worse"][0] < places["fast"][0] < places["configured"][0]
    # Equal factors are equal distances, and the better row is higher.
    one, two = places["fast"][0] - places["worse"][0], places["configured"][0] - places["fast"][0]
    assert two / one == pytest.approx(5.644, rel=0.01)  # log(50) / log(2)
    assert places["configured"][1] < places["fast"][1] < places["none"][1] < places["worse"][1]
    assert opened.locator("figure.lit").count() == 6
    opened.get_by_role("button", name="close to the configured setting").click()
    assert sorted(points.evaluate_all("all => all.map(one => one.dataset.name)")) == [
        "configured", "configured, settled 0.9", "fast",
    ]  # fmt: skip
    opened.get_by_role("button", name="rules for stopping").click()
    assert points.count() == 2
    opened.locator("#legend button", has_text="fast").click()
    assert opened.locator("#chart svg.some g.lit").count() == 2


@pytest.mark.slow
def test_the_table_is_sorted(opened):
    rows, heads = opened.locator("#rows tbody tr"), opened.locator("#rows th")

    def names():
        return rows.evaluate_all("rows => rows.map(row => row.dataset.name)")

    heads.nth(2).locator("button").click()
    assert names()[:2] == ["uncounted", "configured"] and heads.nth(2).get_attribute("aria-sort") == "descending"
    opened.keyboard.press("Enter")
    assert names()[0] == "worse" and heads.nth(2).get_attribute("aria-sort") == "ascending"
    heads.nth(7).locator("button").click()
    assert names()[0] == "configured" and names()[-1] == "uncounted"  # what is not counted stays last
    heads.nth(7).locator("button").click()
    assert names()[0] == "none" and names()[-1] == "uncounted"
    heads.nth(6).locator("button").click()
    assert (
        set(names()[:2]) == {"configured", "fast"}
        and names()[2:4] == ["uncounted", "worse"]
        and set(names()[4:]) == {"none", "configured, settled 0.9"}
    )
    heads.nth(6).locator("button").click()
    assert names()[:2] == ["worse", "uncounted"] and set(names()[4:]) == {"none", "configured, settled 0.9"}
    heads.nth(0).locator("button").click()
    assert names() == sorted(names())


@pytest.mark.slow
def test_a_phone_shows_it_in_the_dark_and_without_scripts(chromium, tmp_path, drawn):
    (tmp_path / "page.html").write_text(page.html(result(), pictures.read(*drawn)), encoding="utf-8")
    for scripts in (True, False):
        context = chromium.new_context(
            viewport={"width": 390, "height": 800}, color_scheme="dark", java_script_enabled=scripts
        )
        tab = context.new_page()
        tab.goto((tmp_path / "page.html").as_uri())
        assert tab.locator("#rows tbody tr").count() == 6 and tab.locator("#rows").is_visible()
        assert tab.locator("#plot").is_visible() == scripts
        if scripts:
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390
            assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(27, 27, 27)"
        context.close()
