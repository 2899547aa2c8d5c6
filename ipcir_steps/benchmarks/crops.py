"""``ipcir crops``: the objects that GeneCIS' attribute tasks show, cut out of Visual Genome's images.

As the official evaluation shows them: the box, begun 0.7 of its size further left and up and made 1.7 times as large,
within the picture; black bars make it a square. PNG, so that no second compression changes them.
"""

import argparse
import logging
from pathlib import Path

from ipcir_steps.benchmarks import genecis
from ipcir_steps.core.arguments import Root
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import atomic

FOLDERS = ("VG_100K_all", "VG_100K", "VG_100K_2")  # Visual Genome 1.2 comes in the last two
LARGER = 0.7  # how much of its size is added to a box, at the left and at the right
log = logging.getLogger("crops")


def cut(image, box: list[float], file: Path | None = None):
    """The square picture of an object, PIL, RGB. image: PIL, RGB; box: left, top, width, height in pixels.

    Raises InputError, with the image's ``file``, for a box that lies outside the picture.
    """
    import PIL.Image

    left, top, width, height = box
    left, top = max(0, left - LARGER * width), max(0, top - LARGER * height)
    right, bottom = min(image.width, left + (1 + LARGER) * width), min(image.height, top + (1 + LARGER) * height)
    if round(right) <= round(left) or round(bottom) <= round(top):  # as PIL rounds them
        problem = f"has {image.width} x {image.height} pixels, none of which is in the box {box}"
        raise InputError(problem, file=file, remedy="Put the image of Visual Genome 1.2 there.")
    part = image.crop((left, top, right, bottom))
    side = max(part.size)
    square = PIL.Image.new("RGB", (side, side))
    square.paste(part, ((side - part.width) // 2, (side - part.height) // 2))
    return square


def wanted(root: Path, tasks) -> dict[int, dict[str, list[float]]]:
    """{Visual Genome image: {path of a crop below the root: box}} of the attribute tasks."""
    found: dict[int, dict[str, list[float]]] = {}
    for task in tasks:
        path = root / genecis.annotations(task)
        for number, record in enumerate(genecis.records_of(root, task)):
            for image in genecis.images_of(record, path, number):
                name = genecis.name_of(image, task, path, number)
                found.setdefault(image["image_id"], {})[name] = genecis.box_of(image, path, number)
    return found


def arguments(parser: argparse.ArgumentParser) -> None:
    tasks = [task for task in genecis.TASKS if task.endswith("_attribute")]
    parser.add_argument("--root", required=True, type=Root, help="directory of GeneCIS; gets crops/")
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks, help="whose objects (default: both)")


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.core.images import open_rgb

    root, made = Path(args.root), 0
    for number, crops in wanted(root, args.tasks).items():
        absent = {name: box for name, box in crops.items() if not (root / name).is_file()}
        if not absent:
            continue
        places = [root / folder / f"{number}.jpg" for folder in FOLDERS]
        place = next((path for path in places if path.is_file()), None)
        if place is None:
            remedy = f"Put Visual Genome 1.2's images into {' or '.join(FOLDERS)} there."
            raise InputError("the image is missing", file=places[0], record=number, remedy=remedy)
        image = open_rgb(place)
        for name, box in absent.items():
            (root / name).parent.mkdir(exist_ok=True)
            with atomic(root / name) as temporary:
                cut(image, box, place).save(temporary, format="PNG")
            made += 1
    log.info("%d crops made in %s", made, root / "crops")
