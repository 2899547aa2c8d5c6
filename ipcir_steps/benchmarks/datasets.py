"""Datasets in their official on-disk layouts become ``queries.jsonl`` and ``gallery.jsonl``."""

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.data import Source
from ipcir_steps.core.arguments import Directory
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import used, write_json, write_jsonl
from ipcir_steps.core.images import probe
from ipcir_steps.core.records import Image, Query, write_records

log = logging.getLogger("datasets")


@dataclasses.dataclass(frozen=True)
class Split:
    """One split of a dataset as its annotations have it.

    references: one image per unique reference, in the order of first use.
    """

    queries: list[Query]
    gallery: list[Image]
    references: list[Image]


def load(settings: Source, split: str) -> Split:
    """Read annotations only; no image is opened. Raises InputError naming file, record and field."""
    queries, gallery = BENCHMARKS[settings.benchmark].read(settings, split)
    _check(settings, split, queries, gallery)
    names = {image.name: image for image in gallery}
    paths = {q.reference: names.get(q.reference) or Image(q.reference, q.reference) for q in queries}
    return Split(queries, gallery, list(paths.values()))


def _check(settings: Source, split: str, queries: Sequence[Query], gallery: Sequence[Image]) -> None:
    where = {"file": f"{settings.root} ({settings.benchmark} {split})"}
    if not gallery:
        raise InputError("the gallery is empty", **where, remedy="Check the dataset's root in config.yaml.")
    if not queries:
        raise InputError("there are no queries", **where)
    names = {image.name for image in gallery}
    seen = set()
    for query in queries:
        if query.query_id in seen:
            raise InputError("the query id appears twice", **where, record=query.query_id, field="query_id")
        seen.add(query.query_id)
        for target in query.targets or ():
            if target not in names:
                raise InputError(
                    f"target {target!r} is not in the gallery",
                    **where,
                    record=query.query_id,
                    field="targets",
                    remedy="Add the image or remove the target from the annotations.",
                )


def inspect(data: Split, root: Path, policy: str) -> tuple[Split, list[dict], dict]:
    """Open every image once: fill in sizes, apply the missing-image policy.

    Returns the usable split, the failures (one record per query whose reference is unusable or all of whose
    targets are), and a coverage report. With policy "error" the first unusable image raises InputError.
    """
    problems: dict[str, str] = {}

    def look(image: Image) -> Image:
        try:
            width, height = probe(root, image)
        except InputError as error:
            if policy == "error":
                raise
            problems[image.name] = error.problem
            return image
        return dataclasses.replace(image, width=width, height=height)

    gallery = [look(image) for image in data.gallery]
    sized = {image.name: image for image in gallery}
    references = [sized.get(image.name) or look(image) for image in data.references]
    if len(problems) == len(sized):
        raise InputError(
            "no image of the dataset can be read", file=root, remedy="Check the dataset's root in config.yaml."
        )
    failures = []
    for query in data.queries:
        if query.reference in problems:
            failures.append(
                {"query_id": query.query_id, "failure": f"reference {query.reference}: {problems[query.reference]}"}
            )
        elif query.targets and all(target in problems for target in query.targets):
            failures.append({"query_id": query.query_id, "failure": "no target image can be read"})
    coverage = {
        "gallery": {"annotated": len(gallery), "readable": sum(i.name not in problems for i in gallery)},
        "references": {"annotated": len(references), "readable": sum(i.name not in problems for i in references)},
        "queries": {"annotated": len(data.queries), "complete": len(data.queries) - len(failures)},
        "unreadable": [{"name": name, "reason": reason} for name, reason in problems.items()],
    }
    kept = [image for image in gallery if image.name not in problems]
    return Split(data.queries, kept, references), failures, coverage


def arguments(parser: argparse.ArgumentParser) -> None:
    from ipcir_steps.config.settings import add_settings

    add_settings(parser, Source)
    parser.add_argument("--split", required=True, help="split of the annotations, such as val or test1")
    parser.add_argument("--output", type=Directory, required=True, help="directory for queries, gallery, references, …")


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.config.settings import read_settings

    settings = read_settings(args.settings, Source)
    root = Path(settings.root)
    data, failures, coverage = inspect(load(settings, args.split), root, settings.missing_images)
    for image in [*data.gallery, *data.references]:
        used(root / image.path, root)
    write_records(args.output / "queries.jsonl", data.queries)
    write_records(args.output / "gallery.jsonl", data.gallery)
    write_records(args.output / "references.jsonl", data.references)
    write_jsonl(args.output / "datasets.failures.jsonl", failures)
    write_json(args.output / "coverage.json", coverage)
    counts = coverage["gallery"]
    log.info("%d queries, %d of %d images readable", len(data.queries), counts["readable"], counts["annotated"])
