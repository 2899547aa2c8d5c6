"""Box statistics per category, towards which layouts are moved, from instance annotations in the COCO format."""

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ipcir_steps.core import paths
from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, write_json

REMEDY = (
    "Unpack instances_train2017.json of annotations_trainval2017.zip (https://cocodataset.org/#download) to "
    f"{paths.INSTANCES}, or draw boxes as planned with proxies.statistics: null."
)


def box_statistics(annotations: Mapping, file: str | Path = "annotations") -> dict[str, dict[str, float]]:
    """{category: mean and standard deviation of width / image width (length) and of width / height (aspect_ratio)}.

    Crowds and boxes without area are left out, and categories without any box. annotations: the object of a COCO
    file. Raises InputError naming the annotation that lacks a field or refers to nothing.
    """
    values: dict[str, list[tuple[float, float]]] = defaultdict(list)
    record = None
    try:
        widths = {image["id"]: image["width"] for image in annotations["images"]}
        names = {category["id"]: category["name"] for category in annotations["categories"]}
        for record in range(len(annotations["annotations"])):
            item = annotations["annotations"][record]
            _, _, width, height = item["bbox"]
            if not item.get("iscrowd") and width > 0 and height > 0:
                values[names[item["category_id"]]].append((width / widths[item["image_id"]], width / height))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"is not in the COCO format ({error!r})", file=file, record=record) from error
    result = {}
    for name in filter(values.get, names.values()):
        means, deviations = np.mean(values[name], 0).tolist(), np.std(values[name], 0).tolist()
        result[name] = {"length_mean": means[0], "length_std": deviations[0]}
        result[name] |= {"aspect_ratio_mean": means[1], "aspect_ratio_std": deviations[1]}
    return result


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--instances", type=InFile, required=True, help="annotations, as instances_train2017.json")
    parser.add_argument("--output", type=OutFile, required=True, help="JSON file to write")


def main(args: argparse.Namespace) -> None:
    if not args.instances.is_file():
        raise InputError("does not exist", file=args.instances, remedy=REMEDY)
    write_json(args.output, box_statistics(read_json(args.instances), args.instances))
