"""Layout, reference and proxies side by side, one row per query.

    python -m dev.proxy_grid --queries queries.jsonl --layouts layouts.jsonl --masks reference_masks.jsonl \\
        --references references.jsonl --root dataset --index index.jsonl --images proxies --output docs/proxies.png
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.files import atomic, inside
from ipcir_steps.core.masks import decode_rle, resized
from ipcir_steps.core.records import Query, read_queries
from ipcir_steps.imagine.proxies.generator import Task
from ipcir_steps.imagine.proxies.tasks import Inputs, by_query

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#3a86c8", "#444444")  # told apart by everyone
PAPER, INK, PALE, RULE = "white", "#222222", "#6b6b6b", "#dddddd"
GAP, EDGE = 6, 12
LEGEND = "Filled boxes look like the object in the reference (outlined there); the others are drawn from their words."


def draw_grid(
    queries: Sequence[Query],
    inputs: Inputs,
    index: dict[str, dict],
    images: Path,
    *,
    cell: int = 120,
    rows: int = 20,
    only_references: bool = False,
) -> Image.Image:
    """The first ``rows`` queries that have a layout and proxies, of those with an instance from the reference if asked.

    RGB image of rows of square pictures, ``cell`` pixels wide, below their relative captions. Raises StepFailure when
    an image that a record names cannot be read.
    """
    shown = []
    for query in queries:
        record = index.get(query.query_id, {})
        try:
            task = inputs.task(query, 0, (0,))
        except StepFailure:
            continue
        if "images" in record and (not only_references or any(i.from_image for i in task.instances)):
            shown.append((task, record, [inside(images, name) for name in record["images"]]))
    shown = shown[:rows]
    columns = max((len(paths) for _, _, paths in shown), default=0)
    titles = ["layout", "reference", *(f"proxy {n + 1}" for n in range(columns))]
    lefts = [EDGE + n * (cell + GAP) + (EDGE if n >= 2 else 0) for n in range(len(titles))]
    width, small, normal = lefts[-1] + cell + EDGE, font(cell, 0.1), font(cell, 0.12)
    captions = [wrap(task.caption, normal, width - 2 * EDGE) for task, _, _ in shown]
    line, head = round(normal.size * 1.35), round(small.size * 2.2)
    heights = [len(lines) * line + cell + 3 * GAP for lines in captions]
    canvas = Image.new("RGB", (width, head + sum(heights) + head), PAPER)
    pen = ImageDraw.Draw(canvas)
    for left, title in zip(lefts, titles, strict=True):
        pen.text((left + cell / 2, head / 2), title, PALE, font=small, anchor="mm")
    top = head
    for (task, record, paths), lines, height in zip(shown, captions, heights, strict=True):
        pen.line((EDGE, top, width - EDGE, top), RULE)
        for number, text in enumerate(lines):
            pen.text((EDGE, top + GAP + number * line), text, INK, font=normal)
        pictures = [draw_layout(task, cell, record.get("boxes")), draw_reference(task, cell)]
        pictures += [fit(read(path), cell) for path in paths]
        for left, picture in zip(lefts, pictures, strict=False):
            canvas.paste(picture, (left, top + height - cell - GAP))
        top += height
    pen.line((EDGE, top, width - EDGE, top), RULE)
    pen.text((EDGE, top + head / 2), LEGEND, PALE, font=small, anchor="lm")
    return canvas


def draw_layout(task: Task, cell: int, boxes: Sequence[Sequence[float]] | None = None) -> Image.Image:
    """Boxes with their categories; filled when the instance comes from the reference image."""
    canvas = Image.new("RGB", (cell, cell), "#f4f4f4")
    pen, letters, taken = ImageDraw.Draw(canvas, "RGBA"), font(cell, 0.1), []
    corners = [
        tuple(round(value * (cell - 1)) for value in (boxes[n] if boxes else instance.box))
        for n, instance in enumerate(task.instances)
    ]
    for number, instance in enumerate(task.instances):
        fill = (*ImageColor.getrgb(colour(number)), 60) if instance.from_image else None
        pen.rectangle(corners[number], outline=colour(number), width=2, fill=fill)
    for number, instance in enumerate(task.instances):
        text = shorten(printable(instance.category), letters, cell - 6)
        tag = place_tag(corners[number], (round(letters.getlength(text)) + 4, round(letters.size * 1.2)), taken, cell)
        taken.append(tag)
        pen.rectangle(tag, fill=colour(number))
        pen.text((tag[0] + 2, (tag[1] + tag[3]) / 2), text, "white", font=letters, anchor="lm")
    return canvas


def place_tag(box: tuple, size: tuple[int, int], taken: list[tuple], cell: int) -> tuple[int, int, int, int]:
    """Where the name of a box goes: its first corner, else the first line of the picture, that no other name covers."""
    width, height = size
    left = max(0, min(box[0], cell - width))
    right = max(0, min(box[2] - width, cell - width))
    places = [(x, y) for y in (box[1], box[3] - height) for x in (left, right)]
    places += [(left, y) for y in range(0, cell - height, max(height, 1))]
    tags = [(x, y, x + width, y + height) for x, y in ((x, max(0, min(y, cell - height))) for x, y in places)]
    free = [tag for tag in tags if not any(touch(tag, other) for other in taken)]
    return (free or tags)[0]


def touch(a: tuple, b: tuple) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def draw_reference(task: Task, cell: int) -> Image.Image:
    """The reference image; the masks of its instances are outlined in the colours of their boxes."""
    image = task.open_reference()
    width, height = ImageOps.contain(image, (cell, cell)).size
    picture = np.array(image.resize((width, height), Image.Resampling.BICUBIC))
    for number, instance in enumerate(task.instances):
        if instance.from_image and instance.mask:
            mask = resized(decode_rle(instance.mask, f"instance {number}: mask"), height, width) > 0
            inner = np.pad(mask, 2)
            around = [inner[2 + y : 2 + y + height, 2 + x : 2 + x + width] for y in (-2, 0, 2) for x in (-2, 0, 2)]
            picture[mask & ~np.all(around, 0)] = ImageColor.getrgb(colour(number))
    return fit(Image.fromarray(picture), cell)


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise StepFailure(f"{path} cannot be read ({error})") from error


def fit(image: Image.Image, cell: int) -> Image.Image:
    return ImageOps.pad(image, (cell, cell), color=PAPER)


def font(cell: int, share: float) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=max(9, round(cell * share)))


def shorten(text: str, letters: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, or as much of its beginning as fits, with dots."""
    if letters.getlength(text) <= width:
        return text
    kept = next((n for n in range(len(text) - 1, 0, -1) if letters.getlength(text[:n] + "..") <= width), 0)
    return text[:kept].rstrip() + ".."


def wrap(text: str, letters: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines that are no wider than ``width`` pixels."""
    lines = [""]
    for word in printable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and letters.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [shorten(line, letters, width) for line in lines]


def printable(text: str) -> str:
    """What the built-in font can draw."""
    return text.encode("latin-1", "replace").decode("latin-1")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.proxy_grid", description=__doc__.splitlines()[0])
    for name in ("queries", "layouts", "references", "root", "index", "images", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--masks", type=Path, help="reference_masks.jsonl, to outline the instances in the reference")
    parser.add_argument("--rows", type=int, default=20, help="queries shown, from the first")
    parser.add_argument("--cell", type=int, default=120, help="size of one picture in pixels")
    parser.add_argument(
        "--only-references", action="store_true", help="only queries with an instance from the reference"
    )
    args = parser.parse_args(argv)
    try:
        grid = draw_grid(
            read_queries(args.queries),
            Inputs(args.layouts, args.masks, args.references, args.root),
            by_query(args.index),
            args.images,
            cell=args.cell,
            rows=args.rows,
            only_references=args.only_references,
        )
    except (InputError, StepFailure) as error:
        raise SystemExit(f"error: {error}") from error
    with atomic(args.output) as temporary:
        grid.save(temporary, format="JPEG" if args.output.suffix in (".jpg", ".jpeg") else "PNG", optimize=True)


if __name__ == "__main__":
    main()
