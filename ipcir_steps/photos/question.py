"""A question: reference pictures and texts with weights. Its text side needs no language model."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import digest
from ipcir_steps.core.records import Image, Query
from ipcir_steps.photos import pictures
from ipcir_steps.photos.gallery import Gallery
from ipcir_steps.photos.terms import Term


@dataclasses.dataclass(frozen=True)
class Reference:
    """A picture of a question. name: path below ``root``; line: of the gallery, None of a picture from elsewhere."""

    name: str
    root: Path
    line: int | None = None
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Question:
    """references and terms in the order they were given; the first of each with a weight above 0 are what is imagined.

    Raises InputError when there is nothing to search by.
    """

    references: tuple[Reference, ...] = ()
    terms: tuple[Term, ...] = ()

    def __post_init__(self):
        if not any(part.weight for part in (*self.references, *self.terms)):
            raise InputError("there is nothing to search by", remedy="Give a picture, a text, or both.")

    @property
    def main(self) -> tuple[Reference | None, Term | None]:
        """What a proxy is imagined from: a picture and what should be different."""
        return (
            next((part for part in self.references if part.weight > 0), None),
            next((part for part in self.terms if part.weight > 0), None),
        )

    @property
    def query(self) -> Query:
        """The same as a query of the workflow. Raises InputError without a picture and a text."""
        reference, term = self.main
        if reference is None or term is None:
            raise InputError(
                "imagining needs a picture and a text", remedy="Give a picture, and say what should be different."
            )
        query_id = "photo-" + digest([reference.name, term.text])[:16]
        return Query(query_id, reference.name, (term.text,))

    @property
    def image(self) -> Image:
        """The picture that is imagined from, as the workflow's steps take it."""
        reference, _ = self.main
        return Image(reference.name, reference.name)


class Asker:
    """Makes features of questions. Vectors of photos come from the index, texts and other pictures from the encoder."""

    def __init__(self, gallery: Gallery, models):
        self.gallery, self.models = gallery, models
        self._vectors: dict[tuple[str, str], torch.Tensor] = {}

    def image(self, reference: Reference) -> torch.Tensor:
        """float32 [D], un-normalised. Raises InputError when the picture cannot be read."""
        if reference.line is not None:
            return self.gallery.feature(reference.line)
        return self._once("image", f"{reference.root}/{reference.name}", lambda: self._encode(reference))

    def _encode(self, reference: Reference) -> torch.Tensor:
        encoder = self.models.encoder("image")
        picture = encoder.transform(pictures.opened(reference.root / reference.name))
        return encoder.images([picture])[0]

    def text(self, text: str) -> torch.Tensor:
        """float32 [D], un-normalised."""
        return self._once("text", text, lambda: self.models.encoder("text").texts([text])[0])

    def _once(self, kind: str, key: str, make) -> torch.Tensor:
        if (kind, key) not in self._vectors:
            if len(self._vectors) > 1000:
                self._vectors.clear()
            self._vectors[kind, key] = make()
        return self._vectors[kind, key]

    def text_side(self, question: Question) -> torch.Tensor:
        """f_t [D] by the baselines image_only, text_only and image_text: the normalised sum of what is given."""
        from ipcir_steps.seek.baselines.simple import weighted_sum

        parts = [(self.image(part), part.weight) for part in question.references if part.weight]
        parts += [(self.text(part.text), part.weight) for part in question.terms if part.weight]
        summed = weighted_sum([part.numpy() for part, _ in parts], [weight for _, weight in parts])
        if not np.any(summed):
            raise InputError("the parts of the question cancel out", remedy="Change a weight.")
        return torch.from_numpy(summed)
