"""The query browser: small pictures, one JSON of all queries, one HTML file with its style and script inside."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.core import record_id
from ipcir_steps.core.files import atomic, write_text
from ipcir_steps.evaluate.reporting.examples import Collection, Example
from ipcir_steps.evaluate.reporting.look import document
from ipcir_steps.evaluate.reporting.look.pictures import small
from ipcir_steps.variants import BASE, EXTRA, METHOD, card_of, verified_name

HERE = Path(__file__).parent
SHOWN = 10  # places of each list
LISTS = (BASE, METHOD, *EXTRA, verified_name(METHOD))  # those after the method where they are made


def write_page(directory: Path, collection: Collection, dataset: str, most: int, pixels: int, mark=None) -> None:
    """Write ``directory/index.html`` and ``directory/pictures/``; what was there before is replaced.

    most: queries on the page, evenly spread over all when there are more. pixels: longest side of a picture.
    mark: what the page must say of itself, above everything else.
    """
    chosen = spread(collection.examples, most)
    pictures = Pictures(directory / "pictures", pixels)
    if directory.exists():
        shutil.rmtree(directory)
    lists = [variant for variant in LISTS if any(variant in example.lists for example in chosen)]
    queries = [entry(example, collection, pictures, lists) for example in chosen]
    data = {
        "dataset": dataset,
        "mark": mark,
        "total": len(collection.examples),
        "key": record_id.KEY,
        "record": record_id.current(),
        "lists": [[variant, card_of(variant).label] for variant in lists],
        "queries": queries,
    }
    write_text(directory / "index.html", html(data))


def spread(examples: Sequence[Example], most: int) -> list[Example]:
    """At most ``most`` examples, evenly spread, in order.

    >>> spread([0, 1, 2, 3, 4], 2)
    [0, 2]
    """
    count = min(len(examples), most)
    return [examples[len(examples) * number // count] for number in range(count)] if count else []


def entry(example: Example, collection: Collection, pictures: "Pictures", variants: Sequence[str]) -> dict:
    """What the page knows of one query. Places of the lists of ``variants`` are [picture, name, whether a target]."""
    query = example.query
    targets = list(query.targets or ())
    gain = example.gain()
    failed = example.failure is not None
    lists = {}
    for variant in variants:
        names = [name for name in example.lists.get(variant, ())[:SHOWN] if name is not None]
        lists[variant] = [[pictures.add(collection.paths.get(name)), name, name in targets] for name in names]
    return {
        "id": query.query_id,
        "caption": query.caption,
        "category": query.category,
        "reference": [pictures.add(collection.paths.get(query.reference)), query.reference],
        "targets": [[pictures.add(collection.paths.get(name)), name] for name in targets[:SHOWN]],
        "source": list(example.source_captions),
        "target": list(example.target_captions),
        "layout": example.layout and {name: example.layout[name] for name in ("scene", "instances")},
        "proxies": [pictures.add(path) for path in example.proxies],
        **({"stopped": example.stopped} if example.stopped else {}),
        "ranks": {variant: example.rank(variant) for variant in variants},
        "state": "failed" if failed else "won" if gain > 0 else "lost" if gain < 0 else "same",
        "failure": example.failure,
        "lists": lists,
    }


class Pictures:
    """Small copies, each made once. A picture that cannot be had is None."""

    def __init__(self, directory: Path, pixels: int):
        self.directory, self.pixels = directory, pixels
        self._names: dict[Path, str | None] = {}

    def add(self, path: Path | None) -> str | None:
        """Path of the copy relative to the page."""
        if path is None:
            return None
        if path not in self._names:
            self._names[path] = self._copy(path)
        return self._names[path]

    def _copy(self, path: Path) -> str | None:
        made = small(path, self.pixels)
        if made is None:
            return None
        content, kind = made
        name = f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.{kind.replace('jpeg', 'jpg')}"
        with atomic(self.directory / name) as temporary:
            temporary.write_bytes(content)
        return f"pictures/{name}"


def html(data: dict) -> str:
    """One document."""
    return document(HERE, data, data["dataset"], data.get("mark"))
