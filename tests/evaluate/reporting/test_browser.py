"""The query browser, opened from a file in a real browser."""

import json
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from ipcir_steps.core.records import Query
from ipcir_steps.evaluate.reporting.browser.page import html, write_page
from ipcir_steps.evaluate.reporting.examples import Collection, Example


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of 400 queries over 500 pictures, each with proxies, layout, captions and two lists of ten."""
    root = tmp_path_factory.mktemp("browser")
    generator = np.random.default_rng(0)
    paths = {}
    for number in range(500):
        paths[str(number)] = root / f"{number}.png"
        PIL.Image.fromarray(generator.integers(0, 255, (64, 64, 3), np.uint8)).save(paths[str(number)])
    PIL.Image.new("RGB", (640, 480), "red").save(root / "photo.jpg")
    paths["photo"] = root / "photo.jpg"
    box = {"description": "a <b>thing</b>", "box": [0.1, 0.1, 0.5, 0.9], "modality": "image"}
    examples = []
    for number in range(400):
        target = str((number + 1) % 500)
        ranked = [str((number + offset) % 500) for offset in range(2, 14)]
        first, second = ([target, *ranked], [*ranked[:4], target, *ranked[4:]])
        lists = {"base": second, "rp_bm": first} if number % 4 == 0 else {"base": first, "rp_bm": second}
        lists = {"base": first, "rp_bm": first} if number % 4 >= 2 else lists
        caption = "has </script><script>alert(1)</script> & is red" if number == 1 else f"change {number} of it"
        examples.append(
            Example(
                Query(f"q{number}", "photo" if number == 2 else str(number), (caption,), (target,)),
                lists,
                ("a source",),
                ("a target",),
                {"scene": "a scene", "instances": [box]},
                tuple(paths[str((number + n) % 500)] for n in range(5)),
                "layouts: no valid layout" if number == 3 else None,
            )
        )
    write_page(root / "page", Collection(examples, paths), "a & b", 400, 160)
    return root / "page" / "index.html"


@pytest.fixture
def opened(watched, page):
    return watched(page)


def test_400_queries_load_fast_without_errors_or_outside_requests(opened, slowness):
    opened.wait_for_load_state("load")
    timing = opened.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert opened.locator("#list li").count() == 400
    assert timing < 2000 * slowness, f"{timing} ms"
    opened.wait_for_timeout(200)  # for what the page might still say or ask for, which `watched` refuses


def test_keyboard_and_filters(opened):
    heading, rows = opened.locator("#query h2"), opened.locator("#list li")
    assert heading.inner_text() == "change 0 of it"
    opened.keyboard.press("ArrowDown")
    # The caption is text, not markup.
    assert heading.inner_text() == "has </script><script>alert(1)</script> & is red"
    opened.keyboard.press("k")
    assert opened.url.endswith("#q0")
    counts = []
    for key in "12345":
        opened.keyboard.press(key)
        counts.append(rows.count())
    assert counts == [400, 100, 100, 199, 1]
    assert "no valid layout" in opened.locator(".note").inner_text()
    opened.keyboard.press("1")
    opened.keyboard.press("/")
    opened.keyboard.type("change 39")
    assert rows.count() == 14  # 39, 139, 239, 339 and 390 to 399
    opened.keyboard.press("Escape")
    opened.keyboard.press("End")
    assert heading.inner_text() == "change 399 of it"
    boxes = opened.locator("#query .box")
    boxes.nth(4).wait_for()  # drawn when their picture has loaded
    assert boxes.count() == 5
    opened.keyboard.press("b")
    assert boxes.count() == 0


def test_hits_are_marked_and_pictures_are_shown(opened):
    sections = opened.locator("#query .ten")
    assert [sections.nth(n).locator("figure").count() for n in (0, 1)] == [10, 10]
    assert [sections.nth(n).locator("figure.hit").count() for n in (0, 1)] == [1, 1]
    assert sections.nth(1).locator("figure").first.get_attribute("class").split() == ["hit", "small"]
    for _ in range(100):  # the page forbids eval, so no wait_for_function
        if shown := opened.evaluate("[...document.images].every(i => i.complete && i.naturalWidth === 64)"):
            break
        opened.wait_for_timeout(100)
    assert shown


def test_a_query_can_be_linked(chromium, page):
    tab = chromium.new_page()
    tab.goto(page.as_uri() + "#q7")
    assert tab.locator("#query h2").inner_text() == "change 7 of it"
    tab.close()


def test_pictures_are_copied_once_and_small(page):
    pictures = sorted((page.parent / "pictures").iterdir())
    assert len(pictures) == 411  # 0 to 409 (the last one is ten places after 399), and the photograph
    jpeg = [path for path in pictures if path.suffix == ".jpg"]
    with PIL.Image.open(jpeg[0]) as image:
        assert len(jpeg) == 1 and image.size == (160, 120)


def test_the_page_is_one_file_without_addresses(page):
    text = page.read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", text) and "http" not in re.sub(r"http-equiv", "", text)
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)[1])
    assert len(data["queries"]) == 400 and data["dataset"] == "a & b"
    assert "<title>a &amp; b: queries</title>" in text


def test_data_cannot_close_its_element():
    text = html({"dataset": "x", "queries": [{"caption": "</script>[[style]]"}]})
    assert text.count("</script>") == 2 and "\\u003c/script>[[style]]" in text


def test_the_workflow_writes_it(finished):
    directory = finished / "results/browser/world"
    record = json.loads((finished / "provenance/results/browser/world.json").read_text())
    assert record["outputs"][0]["files"] == sum(path.is_file() for path in directory.rglob("*"))
    assert record["id"] in (directory / "index.html").read_text()
    assert Path(directory / "index.html").is_file()


def test_a_verified_list_is_shown_where_there_is_one(tmp_path):
    query = Query("q", "r", ("is red",), ("t",))
    for verified in (False, True):
        lists = {"base": ["t"], "rp_bm": ["a", "t"], **({"rp_bm_verified": ["t", "a"]} if verified else {})}
        write_page(tmp_path / "page", Collection([Example(query, lists)], {}), "x", 10, 160)
        text = (tmp_path / "page/index.html").read_text()
        data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)[1])
        assert [title for _, title in data["lists"]] == ["base", "IP-CIR", "IP-CIR, verified"][: 2 + verified]
        assert data["queries"][0]["ranks"] == {"base": 1, "rp_bm": 2, **({"rp_bm_verified": 1} if verified else {})}
