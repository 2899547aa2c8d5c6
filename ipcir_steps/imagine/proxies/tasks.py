"""Queries, layouts, masks and references joined into one drawing task per query."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.core.boxes import clip
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.files import inside, read_jsonl, seed, stamp
from ipcir_steps.core.masks import box_of, decode_rle
from ipcir_steps.core.records import Query, as_dict, read_images
from ipcir_steps.imagine.proxies.generator import Instance, Task


class Inputs:
    """The files of the step, indexed by query. Raises InputError for records that no later step could use.

    layouts: None where the generator does not draw from them; its tasks then have neither scene nor instances.
    captions: target captions, where image n is drawn from caption n.
    """

    def __init__(
        self,
        layouts: Path | None,
        masks: Path | None,
        references: Path | None,
        root: Path | None,
        captions: Path | None = None,
    ):
        self.captions = by_query(captions) if captions else None
        self.layouts = by_query(layouts) if layouts else None
        self.masks = by_query(masks) if masks else {}
        self.references = {}
        for image in read_images(references) if references else ():
            self.references[image.name] = inside(root or ".", image.path, file=references, record=image.name)

    def content(self, query: Query) -> list:
        """What the images of a query depend on beside settings and models."""
        reference = self.references.get(query.reference)
        return [
            as_dict(query),
            self.layouts and self.layouts.get(query.query_id),
            self.masks.get(query.query_id),
            stamp(reference),
            *([] if self.captions is None else [self.captions.get(query.query_id)]),
        ]

    def task(self, query: Query, run_seed: int, numbers: Sequence[int]) -> Task:
        """numbers: which of the query's images are drawn, from 0.

        Raises StepFailure when the query has no usable layout, or no target captions where they are drawn.
        """
        task = task_of(
            query,
            {"instances": ()} if self.layouts is None else self.layouts.get(query.query_id),
            self.masks.get(query.query_id),
            self.references.get(query.reference),
            run_seed,
            numbers,
        )
        if self.captions is None:
            return task
        return with_texts(task, self.captions.get(query.query_id, {}).get("captions", ()))


def with_texts(task: Task, captions: Sequence[str]) -> Task:
    """Image n is drawn from caption n, in turn. Raises StepFailure when there is none."""
    if not captions:
        raise StepFailure("no target captions")
    return dataclasses.replace(
        task, texts=tuple(captions[n % len(captions)] for n in task.numbers or range(len(task.seeds)))
    )


def task_of(
    query: Query, layout: dict | None, masks: dict | None, reference: Path | None, run_seed: int, numbers: Sequence[int]
) -> Task:
    """The images to draw for a query, by number. layout, masks: its records; reference: its image file.

    Raises StepFailure when there is no usable layout.
    """
    if layout is None or "failure" in layout:
        raise StepFailure("no layout")
    found = {mask["instance"]: mask.get("rle") for mask in (masks or {}).get("masks", ())}
    return Task(
        query_id=query.query_id,
        caption=query.caption,
        scene=layout.get("scene") or "",
        instances=tuple(
            read_instance(values, number, found.get(number)) for number, values in enumerate(layout["instances"])
        ),
        seeds=tuple(seed(run_seed, query.query_id, n) for n in numbers),
        reference=reference,
        numbers=tuple(numbers),
    )


def by_query(path: Path) -> dict[str, dict]:
    records = {}
    for number, record in enumerate(read_jsonl(path), 1):
        if not isinstance(record.get("query_id"), str):
            raise InputError("is missing or not a string", file=path, record=number, field="query_id")
        records[record["query_id"]] = record
    return records


def read_instance(values: dict, number: int, mask: dict | None) -> Instance:
    """Boxes are clipped to the image; without one it is that of the region.

    Raises StepFailure naming the instance that has no area, no box, or a region that cannot be read.
    """
    region = values.get("region")
    box = values.get("box")
    if region is not None:
        around = box_of(decode_rle(region, f"instance {number}: region"))
        box = around if box is None else box
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
        raise StepFailure(f"instance {number}: box {box!r} is not four numbers")
    clipped = clip(box) if all(map(math.isfinite, box)) else (0.0,) * 4
    if clipped[2] <= clipped[0] or clipped[3] <= clipped[1]:
        raise StepFailure(f"instance {number}: box {box!r} has no area inside the image")
    return Instance(
        description=values.get("description") or values.get("label") or values.get("category") or "",
        category=values.get("category") or values.get("label") or "",
        box=clipped,
        size=float(values.get("size") or 3),
        from_image=values.get("modality") == "image",
        mask=mask,
        region=region,
    )
