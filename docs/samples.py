"""Make the pictures of the documentation, from finished runs.

    make demo && python docs/samples.py demo [DIRECTORY]    # the README's
    snakemake --cores 2 figures --configfile configs/mini_evaluation.yaml
    python docs/samples.py test [DIRECTORY]                 # those of docs/results.md, from the mini test world

Needs playwright and Chromium for the pages. Pictures are made smaller until each has less than 300 kB; they
keep the id of their record.
"""

import shutil
import sys
import textwrap
from pathlib import Path

from PIL import Image, PngImagePlugin

from ipcir_steps.core.files import read_jsonl
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


def screenshots(page: Path, shots: dict[str, str]) -> None:
    """The page of the query browser after a key was pressed, by the name of the picture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.absolute().as_uri())
        for name, key in shots.items():
            tab.keyboard.press(key)
            tab.wait_for_timeout(800)
            tab.screenshot(path=IMAGES / name)
        browser.close()


def leaderboard(page: Path) -> None:
    """The leaderboard at CIRCO's results with both of open_clip's ViT-G/14, one of them opened; and the own runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.absolute().as_uri())
        tab.locator("#search").fill("vit-bigg")
        tab.get_by_role("link", name="circo", exact=True).click()
        tab.locator('tr[data-id="circo/cirevl/again-author"] button').click()
        tab.wait_for_timeout(800)
        tab.screenshot(path=IMAGES / "leaderboard.png")
        tab.locator("#search").fill(f"{DATASET} ldre")
        tab.wait_for_timeout(800)
        tab.screenshot(path=IMAGES / "leaderboard_runs.png")
        browser.close()


def twins(directory: Path, count: int = 6) -> None:
    """Queries of the demo: reference, words, target, its twin, and the five proxies."""
    from ipcir_steps.evaluate.reporting.figures import style

    scenes = {
        name: read_jsonl(directory / f"resources/mini/twins/scenes/mini_twins.{name}.jsonl")
        for name in ("images", "queries")
    }
    told = {record["image"]: record["caption"] for record in scenes["images"]}
    drawn = next((directory / "results/mini_twins/val/proxies").glob("migc*"))
    plt = style.start()
    figure, axes = plt.subplots(count, 8, figsize=(10, 1.45 * count), layout="constrained")
    for row, query in zip(axes, scenes["queries"], strict=False):
        target = query["targets"][0]
        twin = next(image for image in told if told[image] == told[target] and image != target)
        pictures = [
            directory / f"resources/mini/twins/mini_twins/dev/{name}.png" for name in (query["reference"], target, twin)
        ]
        pictures += sorted((drawn / str(query["query"])).glob("*.png"))
        for axis, path in zip(row, pictures, strict=True):
            axis.imshow(Image.open(path), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(
            textwrap.fill("; ".join(query["captions"]), 20), fontsize=7, rotation=0, ha="right", va="center"
        )
    for axis, title in zip(
        axes[0], ("reference", "target", "its twin", *(f"proxy {n}" for n in range(1, 6))), strict=True
    ):
        axis.set_title(title)
    figure.savefig(IMAGES / "mini_twins.png", dpi=110, metadata={"Software": None})
    shrink(IMAGES / "mini_twins.png", IMAGES / "mini_twins.png")


if __name__ == "__main__":
    directory = Path(sys.argv[2] if len(sys.argv) > 2 else ".")
    if sys.argv[1] == "demo":
        twins(directory)
        screenshots(directory / "results/browser/mini_twins/index.html", {"demo.png": "2"})
    else:
        for source, name in SAMPLES.items():
            shrink(directory / "results/figures" / source, IMAGES / name)
        screenshots(
            directory / "results/browser" / DATASET / "index.html", {"browser.png": "2", "browser_lost.png": "3"}
        )
        leaderboard(directory / "results/tables/leaderboard.html")
