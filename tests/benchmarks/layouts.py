"""Tiny datasets in the official layouts: what a test or a person tries a benchmark on."""

import itertools
import json
from pathlib import Path

import PIL.Image
import pyarrow
from pyarrow import parquet

COLOURS = ("red", "green", "blue", "white", "black", "orange", "purple", "gray")


def picture(path: Path, number: int, size=(24, 18)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.new("RGB", size, COLOURS[number % len(COLOURS)])
    image.paste(COLOURS[number // len(COLOURS) % len(COLOURS)], (4, 4, 14, 12))
    image.save(path)


def write(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def genecis(root: Path, queries: int = 2) -> Path:
    """Four tasks; galleries of four images beside the target."""
    for number in range(8):
        picture(root / f"val2017/{number:012d}.jpg", number)
        picture(root / f"VG_100K/{number}.jpg", number, (40, 30))

    def coco(number):
        return {"val_image_id": number % 8}

    def genome(number):
        return {"image_id": number % 8, "instance_bbox": [2.5, 3, 10, 8]}

    for task in ("focus_attribute", "change_attribute", "focus_object", "change_object"):
        image = coco if task.endswith("object") else genome
        records = [
            {
                "reference": image(n),
                "target": image(n + 1),
                "gallery": [image(n + more) for more in (2, 3, 4, 5)],
                "condition": f"{task.split('_')[1]} {n}",
            }
            for n in range(queries)
        ]
        write(root / f"genecis/{task}.json", records)
    return root


def icir(root: Path) -> Path:
    """Two instances; three queries; an image that both list, and one that an instance lists twice."""
    for number, name in enumerate(("query/lamp/a.png", "query/lamp/b.png", "query/bridge/a.png")):
        picture(root / name, number)
    for number in range(6):
        picture(root / f"database/{number}.png", number + 3)
    lines = [
        "icir/query/lamp/a.png,at night,lamp",
        "icir/query/lamp/b.png,as a drawing,lamp",
        "icir/query/bridge/a.png,at night,bridge",
    ]
    write(root / "query_files.csv", "\n".join(lines) + "\n")
    lines = [
        "icir/database/0.png,at night,lamp",
        "icir/database/1.png,at night,lamp",
        "icir/database/2.png,as a drawing,lamp",
        "icir/database/3.png,,lamp",
        "icir/database/0.png,as a drawing,lamp",
        "icir/database/4.png,at night,bridge",
        "icir/database/3.png,,bridge",
        "icir/database/5.png,,bridge",
    ]
    write(root / "database_files.csv", "\n".join(lines) + "\n")
    return root


def pinpoint(root: Path, **changed) -> Path:
    """Three wordings about one image, one about another, one of two images; a target twice. changed: columns."""
    names = [f"{number:02x}" * 16 for number in range(8)]
    for number, name in enumerate(names):
        picture(root / f"images/{name[:2]}/{name[2:4]}/{name[4:6]}/{name}.jpg", number)
    write(root / "index_signatures.txt", "\n".join(names))
    columns = {
        "query_id": [f"query_{number:05d}" for number in range(1, 6)],
        "query_image_signature": [names[0]] * 3 + [names[1]] * 2,
        "query_image_signature2": ["None"] * 4 + [names[2]],
        "instruction": ["is red", "make it red", "in red?", "larger", "this on that"],
        "positive_candidates": [[names[3], names[4], names[3]]] * 3 + [[names[5]]] * 2,
        "negative_candidates": [[names[6], "f" * 32]] * 3 + [[], []],
        "query_category": ["Colour"] * 5,
    }
    columns = {name: values for name, values in (columns | changed).items() if values is not None}
    parquet.write_table(pyarrow.table(columns), root / "pinpoint_licensed.parquet")
    return root


def fashioniq(root: Path) -> Path:
    """Two categories of six images each, one of which no caption names; one image is in both."""
    for number in range(11):
        picture(root / f"images/{number}.png", number)
    members = {"dress": list(range(6)), "shirt": list(range(5, 11))}
    for category, numbers in members.items():
        records = [
            {"candidate": str(a), "target": str(b), "captions": ["is redder", "has no collar"]}
            for a, b in itertools.pairwise(numbers[:5])
        ]
        write(root / f"captions/cap.{category}.val.json", records)
        write(root / f"image_splits/split.{category}.val.json", [str(number) for number in numbers])
    return root
