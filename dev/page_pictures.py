"""Makes docs/images/photos*.png: the page of ``make serve`` after one imagined question.

ipcir serve FOLDER --index DIR --stack mini &
python dev/page_pictures.py http://127.0.0.1:8765/ 000000120036.jpg "make the cross larger" docs/images
"""

import argparse
import shutil
from pathlib import Path

import PIL.Image
from playwright.sync_api import sync_playwright

VIEWS = {
    "photos": {"viewport": {"width": 1280, "height": 1000}},
    "photos_dark": {"viewport": {"width": 1280, "height": 1000}, "color_scheme": "dark"},
    "photos_phone": {"viewport": {"width": 390, "height": 1500}, "is_mobile": True, "has_touch": True},
}


def taken(browser, view: dict, given: argparse.Namespace, path: Path) -> None:
    """The page's first screen once the lists are there, as a PNG of at most 256 colours."""
    page = browser.new_context(**view).new_page()
    page.goto(given.address)
    card = page.locator(f"#browse button.choose[title='{given.photo}']")
    while not card.count():
        page.click("#more")
        page.wait_for_timeout(500)
    card.click()
    page.fill("#text", given.text)
    page.click("#imagine")
    page.locator("#sliders").wait_for(timeout=300_000)
    page.locator("#ipcir li").nth(49).wait_for()
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(1000)
    page.screenshot(path=path)
    with PIL.Image.open(path) as picture:
        fewer = picture.convert("RGB").quantize(256, dither=PIL.Image.Dither.NONE)
    fewer.save(path, optimize=True)
    page.context.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("photo", help="name of the reference")
    parser.add_argument("text")
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, view in VIEWS.items():
            taken(chromium, view, given, given.output / f"{name}.png")
