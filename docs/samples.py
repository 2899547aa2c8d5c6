"""Make the sample pictures of docs/results.md, from a finished run of the mini test world.

    snakemake --cores 2 figures --configfile configs/mini_evaluation.yaml
    python docs/samples.py [DIRECTORY]   # needs playwright and Chromium for the query browser

Pictures are made smaller until each has less than 300 kB; they keep the id of their record.
"""

import shutil
import sys
from pathlib import Path

from PIL import Image, PngImagePlugin

from ipcir_steps.core.record_id import KEY
from ipcir_steps.evaluate.reporting.figures import FIGURES

IMAGES = Path(__file__).parent / "images"
DATASET = "mini_test"
MOST = 290_000  # bytes
# One of each figure, and what it is drawn from; figures of queries lie below their dataset.
SAMPLES = {f"{DATASET}/{n}.png" if card.of == "queries" else f"{n}.png": f"{n}.png" for n, card in FIGURES.items()}
del SAMPLES["scores.png"]
SAMPLES[f"{DATASET}.png"] = "scores.png"


def shrink(source: Path, target: Path) -> None:
    image = Image.open(source)
    about = PngImagePlugin.PngInfo()
    about.add_text(KEY, image.text.get(KEY, ""))
    image = image.convert("RGB")
    image.thumbnail((1400, 2000), Image.Resampling.LANCZOS)
    image.save(target, optimize=True, pnginfo=about)
    while target.stat().st_size > MOST:
        fewer = image.quantize(256, dither=Image.Dither.NONE)
        fewer.save(target, optimize=True, pnginfo=about)
        image = image.resize((int(image.width * 0.9), int(image.height * 0.9)), Image.Resampling.LANCZOS)


def screenshots(page: Path) -> None:
    """The queries that were won and lost, as a browser shows them."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.absolute().as_uri())
        for key, name in (("2", "browser.png"), ("3", "browser_lost.png")):
            tab.keyboard.press(key)
            tab.wait_for_timeout(800)
            tab.screenshot(path=IMAGES / name)
        browser.close()


if __name__ == "__main__":
    results = Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "results"
    for source, name in SAMPLES.items():
        shrink(results / "figures" / source, IMAGES / name)
    screenshots(results / "browser" / DATASET / "index.html")
