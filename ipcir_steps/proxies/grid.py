"""Layout, reference and proxies side by side, one row per query.

    python -m ipcir_steps.proxies.grid --queries queries.jsonl --layouts layouts.jsonl --references references.jsonl \\
        --root dataset --index index.jsonl --images proxies --output docs/proxies.png
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw, ImageOps

from ipcir_steps.errors import StepFailure
from ipcir_steps.files import atomic, inside
from ipcir_steps.proxies.generator import Task
from ipcir_steps.proxies.tasks import Inputs, by_query
from ipcir_steps.records import Query, read_queries

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # told apart by everyone
GAP = 4


def draw_grid(queries: Sequence[Query], inputs: Inputs, index: dict[str, dict], images: Path, cell: int = 128):
    """One row per query that has a layout and proxies: layout, reference, proxies. RGB image."""
    rows = []
    for query in queries:
        record = index.get(query.query_id, {})
        try:
            task = inputs.task(query, 0, 1)
        except StepFailure:
            continue
        if "images" not in record:
            continue
        pictures = [draw_layout(task, cell, record.get("boxes")), fit(task.open_reference(), cell)]
        for name in record["images"]:
            with Image.open(inside(images, name)) as image:
                pictures.append(fit(image.convert("RGB"), cell))
        rows.append((query.caption, pictures))
    columns = max((len(pictures) for _, pictures in rows), default=1)
    step, line = cell + GAP, cell + GAP + 14
    canvas = Image.new("RGB", (columns * step + GAP, len(rows) * line + GAP), "white")
    pen = ImageDraw.Draw(canvas)
    for y, (caption, pictures) in enumerate(rows):
        pen.text((GAP, y * line + 1), printable(caption), fill="black")
        for x, picture in enumerate(pictures):
            canvas.paste(picture, (GAP + x * step, y * line + 14))
    return canvas


def draw_layout(task: Task, cell: int, boxes: Sequence[Sequence[float]] | None = None) -> Image.Image:
    """Boxes with their categories; filled when the instance comes from the reference image."""
    canvas = Image.new("RGB", (cell, cell), "#f4f4f4")
    pen = ImageDraw.Draw(canvas, "RGBA")
    for number, instance in enumerate(task.instances):
        colour = COLOURS[number % len(COLOURS)]
        corners = [round(value * (cell - 1)) for value in (boxes[number] if boxes else instance.box)]
        fill = (*ImageColor.getrgb(colour), 70) if instance.from_image else None
        pen.rectangle(corners, outline=colour, width=2, fill=fill)
        pen.text((corners[0] + 4, corners[1] + 2), printable(instance.category), fill=colour)
    return canvas


def fit(image: Image.Image, cell: int) -> Image.Image:
    return ImageOps.pad(image, (cell, cell), color="white")


def printable(text: str) -> str:
    """What the built-in font can draw."""
    return text.encode("latin-1", "replace").decode("latin-1")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m ipcir_steps.proxies.grid", description=__doc__.splitlines()[0])
    for name in ("queries", "layouts", "references", "root", "index", "images", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=20, help="queries shown, from the first")
    parser.add_argument("--cell", type=int, default=128, help="size of one picture in pixels")
    args = parser.parse_args(argv)
    inputs = Inputs(args.layouts, None, args.references, args.root)
    index = by_query(args.index)
    grid = draw_grid(read_queries(args.queries)[: args.rows], inputs, index, args.images, args.cell)
    with atomic(args.output) as temporary:
        grid.save(temporary, format="PNG", optimize=True)


if __name__ == "__main__":
    main()
