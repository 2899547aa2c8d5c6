"""What a judge is asked: one query, and candidates that its lists begin with."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import PIL.Image

from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.files import digest, inside, sha256
from ipcir_steps.core.images import load_image
from ipcir_steps.core.records import Image, Query, as_dict


@dataclasses.dataclass(frozen=True)
class Asked:
    """One query and what its lists begin with.

    captions: target captions, empty where there are none. sets: candidates by name, one tuple for each distinct
    beginning of a list (or image set of CIRR), its names in an order that follows from ``seed``, so that the place of
    an image says nothing of its rank.
    """

    query: Query
    captions: tuple[str, ...]
    sets: tuple[tuple[str, ...], ...]
    seed: int = 0

    @property
    def candidates(self) -> tuple[str, ...]:
        """Every candidate once."""
        return shuffled({name for names in self.sets for name in names}, self.seed, self.query.query_id)

    def content(self) -> list:
        """What the judgements depend on beside judge and pixels, as JSON."""
        return [as_dict(self.query), self.captions, self.sets]


def shuffled(names: Iterable[str], run_seed: int, query_id: str) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: digest([run_seed, "verify", query_id, name])))


def asked(
    queries: Sequence[Query],
    captions: Mapping[str, Sequence[str]],
    lists: Iterable[Mapping[str, Sequence[str]]],
    k: int,
    run_seed: int = 0,
) -> list[Asked]:
    """lists: {query id: image names, best first} of every variant; the first ``k`` of each are candidates. A query that
    no list ranks has none."""
    sets: dict[str, dict[tuple[str, ...], None]] = {query.query_id: {} for query in queries}
    for ranked in lists:
        for query_id, names in ranked.items():
            first = [name for name in names[:k] if name is not None]
            if query_id in sets and first:
                sets[query_id][shuffled(first, run_seed, query_id)] = None
    return [Asked(q, tuple(captions.get(q.query_id, ())), tuple(sorted(sets[q.query_id])), run_seed) for q in queries]


class Pictures:
    """Images of a dataset by name, read from below its root; the digest of a file is taken once."""

    def __init__(self, root: Path, images: Iterable[Image]):
        self.root, self._images = root, {image.name: image for image in images}
        self._digest = functools.cache(lambda name: sha256(self.path(name)))

    def path(self, name: str) -> Path:
        """Raises InputError for an image that is not of the dataset."""
        return inside(self.root, self._image(name).path, record=name, field="path")

    def digest(self, name: str) -> str:
        """sha256 of the file. Raises StepFailure where there is none."""
        try:
            return self._digest(name)
        except OSError as error:
            raise StepFailure(f"image {name} cannot be read ({error.strerror})") from error

    def open(self, name: str) -> PIL.Image.Image:
        """RGB, upright. Raises StepFailure when it cannot be read."""
        return load_image(self.root, self._image(name))

    def _image(self, name: str) -> Image:
        if name not in self._images:
            raise InputError(f"{name!r} is neither in the gallery nor a reference", field="--gallery")
        return self._images[name]
