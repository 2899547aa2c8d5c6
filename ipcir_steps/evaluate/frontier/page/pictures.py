"""A few queries with the first image that each setting drew for them, beside reference and target."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from ipcir_steps.config.frontier import CONFIGURED
from ipcir_steps.core.arguments import RoleFile
from ipcir_steps.core.files import inside, read_jsonl
from ipcir_steps.core.records import Query, read_images
from ipcir_steps.evaluate.reporting.browser.page import spread
from ipcir_steps.evaluate.reporting.look.pictures import small

QUERIES, TARGETS, PIXELS = 6, 2, 96  # queries shown, targets of each, longer side of a picture


@dataclasses.dataclass(frozen=True)
class Shown:
    """A query with pictures, each (bytes, ``png`` or ``jpeg``) or None where there is none.

    given: [(what it is, picture)] of reference and targets; drawn: {setting: picture}.
    """

    query: Query
    given: Sequence[tuple[str, tuple[bytes, str] | None]]
    drawn: Mapping[str, tuple[bytes, str] | None]


def read(queries: Sequence[Query], images: Sequence[Path], root: Path, indices: Sequence[RoleFile]) -> list[Shown]:
    """Queries spread over all.

    images: files that say where references and gallery lie below ``root``; indices: of each setting, whose images lie
    beside its index.
    """
    paths = {
        image.name: inside(root, image.path, file=file, record=image.name)
        for file in images
        for image in read_images(file)
    }
    drawn = {file.role: (file, {record["query_id"]: record for record in read_jsonl(file)}) for file in indices}

    def given(name):
        return small(paths[name], PIXELS) if name in paths else None

    def first(file, records, query_id):
        names = records.get(query_id, {}).get("images", ())
        return small(inside(file.parent, names[0], file=file, record=query_id), PIXELS, file.parent) if names else None

    return [
        Shown(
            query,
            [
                ("reference", given(query.reference)),
                *(("target", given(name)) for name in (query.targets or ())[:TARGETS]),
            ],
            {setting: first(*found, query.query_id) for setting, found in drawn.items()},
        )
        for query in spread(queries, QUERIES)
    ]


def gallery(shown: Sequence[Shown]) -> str:
    """The queries one below the other; nothing without any."""
    if not shown:
        return ""
    blocks = "".join(_block(one) for one in shown)
    return (
        "<section id='pictures'><h2>What the settings drew</h2><p class='rules'>The first image of each, for "
        f"{len(shown)} queries spread over all.</p>{blocks}</section>"
    )


def _block(one: Shown) -> str:
    given = "".join(_figure(picture, label, "hit" if label == "target" else "") for label, picture in one.given)
    drawn = "".join(
        _figure(picture, setting, "whole" if setting == CONFIGURED else "", setting)
        for setting, picture in one.drawn.items()
    )
    return (
        f"<article><h3>{escape(one.query.caption)} <small>query {escape(one.query.query_id)}</small></h3>"
        f"<div class='drawn-by'><div class='row given'>{given}</div><div class='row'>{drawn}</div></div></article>"
    )


def _figure(picture: tuple[bytes, str] | None, label: str, kind: str, setting: str = "") -> str:
    frame, kinds = "<span>none</span>", [kind]
    if picture:
        content, form = picture
        address = f"data:image/{form};base64,{base64.b64encode(content).decode()}"
        frame = f"<img src='{address}' alt='{escape(label)}' decoding='async'>"
        kinds += ["small"] if form == "png" else []
    tag = f" data-setting='{escape(setting)}'" if setting else ""
    return (
        f"<figure class='{' '.join(filter(None, kinds))}'{tag}><div class='frame'>{frame}</div>"
        f"<figcaption>{escape(label)}</figcaption></figure>"
    )
