"""The page of ``ipcir serve`` in a real browser, as a person uses it."""

import csv
import shutil
import signal

import pytest

from tests.photos.browsing import clean, imagined, names, slide


def test_the_whole_path_by_mouse(tab, served, house, tmp_path):
    page = tab(served.url)
    assert page.locator("#browse li").count() == 120
    page.locator("#more").click()
    page.locator("#browse li").nth(239).wait_for()
    chosen = page.locator("#browse button.choose").nth(4)
    name = chosen.get_attribute("title")
    chosen.click()
    page.locator("#base li").nth(49).wait_for()
    assert name not in names(page)  # left out as it is the question's own
    page.fill("#text", "has a green background")
    with page.expect_response("**/api/search"):
        page.click("button[type=submit]")
    page.wait_for_timeout(200)
    base = names(page)
    page.click("#imagine")
    imagined(page)
    assert page.locator("#captions li").count() == 5 and page.locator("#proxies figure").count() == 5
    assert page.locator("#canvas .box").count() == page.locator("#instances fieldset").count() >= 1
    assert "green" in page.locator("#captions").inner_text()
    first = names(page, "ipcir")
    assert len(first) == 50 and names(page) != base  # the text side is now that of the captions
    slide(page, "lambda", 1)
    assert names(page, "ipcir") == names(page)
    slide(page, "lambda", 0)
    slide(page, "w_query", 4)
    assert names(page, "ipcir") != first
    with page.expect_response("**/api/search"):
        page.click("#reset")
    page.wait_for_timeout(100)
    assert names(page, "ipcir") == first
    slide(page, "count", 1)
    with page.expect_response("**/api/search"):
        page.locator("#captions input").nth(1).uncheck()
    for number in range(5):
        page.locator("#proxies input").nth(number).click()
    assert page.locator("#proxies input:checked").count() == 1  # one has to count
    # A layout is edited and drawn again.
    page.locator("#instances input[type=text]").first.fill("a blue background")
    box = page.locator("#canvas .box").first
    box.scroll_into_view_if_needed()
    before = box.get_attribute("style")
    place, canvas = box.bounding_box(), page.locator("#canvas").bounding_box()
    free = [
        1 if place[at] - canvas[at] < canvas[at] + canvas[size] - place[at] - place[size] else -1
        for at, size in (("x", "width"), ("y", "height"))
    ]  # the side with more room: at its edge a box stays
    page.mouse.move(place["x"] + 20, place["y"] + 20)
    page.mouse.down()
    page.mouse.move(place["x"] + 20 + 30 * free[0], place["y"] + 20 + 30 * free[1], steps=4)
    page.mouse.up()
    assert box.get_attribute("style") != before
    source = page.locator("#proxies img").first.get_attribute("src")
    page.click("#redraw")
    page.locator("#sliders").wait_for(state="hidden")
    imagined(page)
    assert page.locator("#proxies img").first.get_attribute("src") != source
    # More like this: a result is the next reference, and the trail leads back.
    target = page.locator("#ipcir button.choose").nth(2)
    page.wait_for_timeout(100)
    chosen_name = target.get_attribute("title")
    target.click()
    page.locator("#imagined").wait_for(state="hidden")
    assert page.locator("#references img").get_attribute("alt") == chosen_name and page.input_value("#text") == ""
    assert page.locator("#trail button").count() == 2
    page.locator("#trail button").first.click()
    assert page.input_value("#text") == "has a green background"
    assert page.locator("#references img").get_attribute("alt") == name
    with page.expect_download() as saved:
        page.click("#export_queries")
    saved.value.save_as(tmp_path / "queries.csv")
    with open(tmp_path / "queries.csv") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["reference"] == name and rows[0]["caption"] == "has a green background"
    with page.expect_download() as saved:
        page.click("#export")
    saved.value.save_as(tmp_path / "results.csv")
    with open(tmp_path / "results.csv") as file:
        assert [row["path"] for row in csv.DictReader(file)] == names(page)
    clean(page, served.url)


def test_the_whole_path_by_keyboard(tab, served):
    page = tab(served.url)
    page.keyboard.press("/")
    page.keyboard.type("a red circle")
    page.keyboard.press("Enter")
    page.locator("#base li").first.wait_for()
    page.keyboard.press("ArrowDown")
    first = page.evaluate("document.activeElement.title")
    assert first == names(page)[0]
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.title") == names(page)[1]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("o")
    assert page.locator("#viewer").is_visible()
    page.locator("#large").evaluate("image => image.decode()")
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    page.keyboard.press("Enter")
    page.locator("#references li").wait_for()
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.type("has a green background")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    imagined(page)
    page.focus("#w_query")
    before = names(page, "ipcir")
    with page.expect_response("**/api/search"):
        page.keyboard.press("End")
    page.wait_for_timeout(300)
    assert page.locator("output[for=w_query]").inner_text() == "4.00" and names(page, "ipcir") != before
    clean(page, served.url)


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again_goes_on(tab, start, house, indexed, tmp_path):
    shutil.copytree(house / "index", tmp_path / "index")
    shutil.rmtree(tmp_path / "index/mini/cache", ignore_errors=True)
    server = start(house / "photos", tmp_path / "index")
    page = tab(server.url)
    page.locator("#browse button.choose").nth(11).click()
    page.fill("#text", "has a small yellow star")
    page.click("#imagine")
    page.locator("#captions li").first.wait_for(timeout=60_000)
    server.stop(signal.SIGKILL)
    page.locator("#problem").wait_for()
    assert "does not answer" in page.locator("#problem").inner_text()
    page.told.clear()
    captions = page.locator("#captions s").all_text_contents()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "index/mini/cache/steps").rglob("*.json")}
    assert kept
    again = start(house / "photos", tmp_path / "index", port=server.port)
    page.click("#imagine")
    imagined(page)
    assert page.locator("#captions s").all_text_contents() == captions
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in kept.items())  # not made again
    # Sliders go on working after another restart: what was imagined comes back from the cache.
    again.stop(signal.SIGKILL)
    start(house / "photos", tmp_path / "index", port=server.port)
    first = names(page, "ipcir")
    page.locator("#lambda").evaluate("s => { s.value = 0.5; s.dispatchEvent(new Event('input', { bubbles: true })); }")
    page.locator("#stage", has_text="done").wait_for(timeout=60_000)
    imagined(page)
    page.wait_for_timeout(500)
    assert names(page, "ipcir") == first
    page.told.clear()
    clean(page, server.url)


def test_imagining_can_be_stopped(tab, served):
    page = tab(served.url)
    page.locator("#browse button.choose").nth(30).click()
    page.fill("#text", "has a large purple star at the top left")
    page.click("#imagine")
    page.locator("#imagined").wait_for()
    page.keyboard.press("Escape")
    page.locator("#stage", has_text="stopped").wait_for()
    assert page.locator("#sliders").is_hidden() and page.locator("#problem").is_hidden()
    clean(page, served.url)
