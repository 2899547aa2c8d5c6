"""What the mini world's distilled generator draws in few steps, beside what its teacher draws.

ipcir mini models --seed 1 --output resources/mini/models
python -m dev.benchmarks.few_steps --models resources/mini/models --figure docs/images/mini_few_steps.png
"""

import argparse
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ipcir_steps.core.files import atomic
from mini_world import render
from mini_world.training import drawn

ROWS = [("teacher", 10), *((who, steps) for who in ("teacher", "distilled") for steps in (4, 2, 1))]
HEAD = 110  # pixels of the row titles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="directory that `ipcir mini models` wrote")
    parser.add_argument("--figure", type=Path, required=True, help="PNG to write")
    parser.add_argument("--seed", type=int, default=2025, help="the seed of the training runs")
    args = parser.parse_args()
    asked = drawn.from_text(args.seed, 10)
    rows = {"render": [render.draw(picture) for picture, _ in asked]}
    for who, steps in ROWS:
        few = who == "distilled"
        settings = None if steps == 10 else drawn.few_steps(steps, few)
        source = drawn.generator(args.models, elite=False, settings=settings, few=few)
        source.draw(asked[0][1])  # not timed
        start = time.process_time()
        name = f"{who}, {steps} step{'s' * (steps > 1)}"
        rows[name] = drawn.drawn_by(source, asked)
        print(f"{name}: {(time.process_time() - start) / len(asked):.3f} CPU seconds a picture")
    with atomic(args.figure) as temporary:
        table(rows).save(temporary, format="PNG", optimize=True)


def table(rows: dict[str, list[Image.Image]]) -> Image.Image:
    """One row of pictures under each other per name."""
    side = render.SIZE
    canvas = Image.new("RGB", (HEAD + side * len(rows["render"]), side * len(rows)), "white")
    pen, letters = ImageDraw.Draw(canvas), ImageFont.load_default(size=11)
    for number, (name, images) in enumerate(rows.items()):
        for column, image in enumerate(images):
            canvas.paste(image, (HEAD + column * side, number * side))
        pen.text((4, (number + 0.5) * side), name, "#222222", font=letters, anchor="lm")
    return canvas


if __name__ == "__main__":
    main()
