"""From a question to a list of photos of one folder."""

import dataclasses
import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.photos.gallery import Gallery
from ipcir_steps.photos.models import Models
from ipcir_steps.photos.question import Asker, Question, Reference
from ipcir_steps.photos.similar import Hit, Proxy, Similarities, collapse, rank


@dataclasses.dataclass(frozen=True)
class Limits:
    """What may be listed, and how. after, before: days, YYYY-MM-DD. collapse: near-duplicates once.

    exclude_reference: leave the question's own pictures out, as the setting of the workflow's datasets does.
    """

    k: int = 20
    min_score: float | None = None
    after: str | None = None
    before: str | None = None
    sort: str = "score"
    collapse: bool = False
    exclude_reference: bool = False


class Finder:
    """A folder with its index. Raises InputError when there is none, or when it was made with another model."""

    def __init__(self, folder: Path, directory: Path, models: Models):
        self.folder, self.directory, self.models = folder.resolve(), directory, models
        gallery = Gallery(directory)
        if gallery.folder != self.folder:
            raise InputError(f"is the index of {gallery.folder}", file=directory, remedy="Run ipcir index again.")
        if models.differ(gallery.model):
            raise InputError("was made with another model", file=directory, remedy="Run ipcir index again.")
        self.open(gallery)

    def open(self, gallery: Gallery) -> None:
        self.gallery, self.asker, self.similar = gallery, Asker(gallery, self.models), Similarities(gallery)

    @property
    def mark(self) -> str:
        """See ``Stack.mark``."""
        return self.models.stack.mark(self.folder)

    @property
    def lam(self) -> float:
        """The stack's lambda: that of the first dataset of its configuration."""
        config = self.models.stack.config
        return config.datasets[config.run[0]].lambda_of(self.models.stack.backbone)

    def reference(self, path: Path, weight: float = 1.0) -> Reference:
        """A picture by its path: relative to the working directory, or else below the folder."""
        path = path if path.exists() or path.is_absolute() else self.folder / path
        path = path.absolute()
        if not path.is_file():
            raise InputError("there is no such picture", file=path, field="--image")
        resolved = path.resolve()
        if resolved.is_relative_to(self.folder):
            name = resolved.relative_to(self.folder).as_posix()
            return Reference(name, self.folder, self.gallery.by_name.get(name), weight)
        return Reference(path.name, path.parent, None, weight)

    def find(
        self,
        question: Question,
        limits: Limits,
        sides: tuple[torch.Tensor, Proxy | None] | None = None,
        lam: float | None = None,
    ) -> list[Hit]:
        """sides: (f_t, f_RP) of what was imagined; None searches by the question's own text side."""
        text, proxy = sides or (self.asker.text_side(question), None)
        return self.list(text, proxy, self.lam if lam is None else lam, limits, question.references)

    def list(self, text, proxy, lam: float, limits: Limits, references: Sequence[Reference] = ()) -> list[Hit]:
        wanted = 3 * limits.k if limits.collapse else limits.k
        own = [part.line for part in references if part.line is not None] if limits.exclude_reference else []
        hits = rank(self.similar, text, proxy, lam, wanted, self.allowed(limits), own)
        if limits.min_score is not None:
            hits = [hit for hit in hits if hit.score >= limits.min_score]
        if limits.collapse and hits:
            hits = collapse(self.gallery, hits, limits.k)
        if limits.sort == "date":
            hits.sort(key=lambda hit: self.gallery.photo(hit.line).taken, reverse=True)
        return hits

    def allowed(self, limits: Limits) -> torch.Tensor | None:
        """bool [lines]; None when photos of all days may be listed."""
        if not (limits.after or limits.before):
            return None
        dates = self.gallery.dates
        within = np.ones(len(dates), bool)
        if limits.after:
            within &= dates >= _day(limits.after, "after")
        if limits.before:
            within &= dates < _day(limits.before, "before")
        return torch.from_numpy(within)

    def row(self, hit: Hit) -> dict:
        """A hit as ``ipcir search --json`` prints it."""
        photo = self.gallery.photo(hit.line)
        return {
            "path": photo.name,
            "score": hit.score,
            "text_score": hit.text_score,
            "proxy_score": hit.proxy_score,
            "taken": photo.taken,
            "width": photo.width,
            "height": photo.height,
            "same": list(photo.others),
            "near": [self.gallery.photo(line).name for line in hit.near],
        }


def _day(text: str, field: str) -> np.datetime64:
    try:
        return np.datetime64(datetime.date.fromisoformat(text), "s")
    except (TypeError, ValueError):
        raise InputError(f"{text!r} is not a date", field=field, remedy="Write it as 2024-12-31.") from None
