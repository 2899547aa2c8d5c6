"""The page of ``ipcir serve`` in a real browser: own pictures, and names that would be code."""

import json

import PIL.Image

from tests.photos.browsing import clean, names


def test_uploads_by_choosing_dropping_and_pasting(tab, served, house):
    page = tab(served.url)
    path = sorted((house / "photos").iterdir())[5]
    page.set_input_files("#file", path)
    page.locator("#references li").wait_for()
    page.locator("#base li").first.wait_for()
    assert names(page)[0] == path.name
    for kind in ("drop", "paste"):
        page.click("#clear")
        page.evaluate(
            """async ([kind, name]) => {
              const photo = (await (await fetch("/api/photos?name=" + name)).json()).photos[0];
              const data = new DataTransfer();
              const content = await (await fetch(`/photo/${photo.line}`)).blob();
              data.items.add(new File([content], "x.jpg", { type: "image/jpeg" }));
              document.body.dispatchEvent(kind === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
                : new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
            }""",
            [kind, path.name],
        )
        page.locator("#references li").wait_for()
        page.locator("#base li").first.wait_for()
        assert names(page)[0] == path.name
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.locator("#problem").wait_for()
    assert "not a picture" in page.locator("#problem").inner_text()
    page.told.clear()  # the browser notes the refusal
    clean(page, served.url)


def test_hostile_names_and_answers_stay_text(tab, start, house, tmp_path, models):
    from ipcir_steps.photos.index import update

    folder = tmp_path / "photos"
    folder.mkdir()
    evil = ["<img src=x onerror=alert(1)>.png", '"><script>alert(2)<.png', "a\u202egpj.png", "' onload='alert(3).png"]
    for number, name in enumerate(evil):
        PIL.Image.new("RGB", (40, 40), (60 * number, 80, 90)).save(folder / name)
    update(folder, tmp_path / "index/mini", models, progress=False)
    server = start(folder, tmp_path / "index")
    page = tab(server.url)
    told = "<img src=x onerror=alert(4)>"
    instance = {"label": told, "category": told, "description": told, "box": [0.1, 0.1, 0.5, 0.5], "size": 3,
                "from_query": True, "modality": "image"}  # fmt: skip
    events = [
        {"stage": "begun", "key": "0" * 24},
        {"stage": "captions", "captions": [told]},
        {"stage": "reasoning", "captions": [told]},
        {"stage": "layout", "layout": {"scene": told, "instances": [instance]}},
        {"stage": "failed", "error": told},
    ]
    lines = "".join(json.dumps(event) + "\n" for event in events)
    page.route("**/api/imagine", lambda route: route.fulfill(body=lines, content_type="application/x-ndjson"))
    assert sorted(names(page, "browse")) == sorted(evil)
    page.locator("#browse button.choose").first.click()
    page.fill("#text", told)
    page.click("#imagine")
    page.locator("#problem").wait_for()
    assert page.locator("#problem").inner_text() == told
    assert told in page.locator("#captions").inner_text()
    assert page.input_value("#instances input[type=text] >> nth=0") == told
    assert page.locator("img[src=x]").count() == 0 and page.locator("script").count() == 3
    page.wait_for_timeout(300)
    clean(page, server.url)
