"""Reference pictures for prompts that show them (``image:`` in a prompt file), the same pixels for every engine."""

import base64
import dataclasses
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import PIL.Image

from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.files import stamp
from ipcir_steps.core.images import load_image, scaled
from ipcir_steps.core.records import Image, Query, read_images
from ipcir_steps.imagine.llm.prompts import Prompt

NARROWEST = 100  # ratio of the sides; Qwen's image processors refuse pictures beyond 200
QUALITY = 95


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture as it is shown: JPEG bytes, which are also what a server is sent."""

    jpeg: bytes

    @classmethod
    def of(cls, image: PIL.Image.Image, longest: int) -> "Picture":
        """image: RGB, upright; longest: pixels of its longer side at most, smaller ones stay as they are.

        Raises StepFailure when it is too narrow to be shown.
        """
        if max(image.size) > NARROWEST * min(image.size):
            raise StepFailure(f"the reference image is too narrow to be shown ({image.width} x {image.height})")
        file = io.BytesIO()
        scaled(image, longest).save(file, "JPEG", quality=QUALITY, subsampling=0)
        return cls(file.getvalue())

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.jpeg).hexdigest()

    def open(self) -> PIL.Image.Image:
        """Its pixels, RGB."""
        return PIL.Image.open(io.BytesIO(self.jpeg)).convert("RGB")

    @property
    def url(self) -> str:
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}"


def identity(picture: Picture | None) -> list[str]:
    """What an answer's name in a cache has beside the prompt."""
    return [] if picture is None else [picture.digest]


def parts(conversation: Sequence[dict], shown: dict | None) -> list[dict]:
    """The conversation with every message as a list of parts, ``shown`` the first part of the last one."""
    *before, last = [
        {"role": message["role"], "content": [{"type": "text", "text": message["content"]}]} for message in conversation
    ]
    return [*before, {**last, "content": [*([shown] if shown else []), *last["content"]]}]


def messages(conversation: list[dict], picture: Picture | None) -> list[dict]:
    """What is sent to an OpenAI-compatible server (and to vLLM, which reads the same)."""
    if picture is None:
        return conversation
    return parts(conversation, {"type": "image_url", "image_url": {"url": picture.url}})


@dataclasses.dataclass(frozen=True)
class Shown:
    """The pictures that a prompt shows: the reference of each query, scaled to ``longest`` pixels; None: it shows none.

    images: by name, with paths below ``root``.
    """

    longest: int | None
    images: dict[str, Image]
    root: Path

    @classmethod
    def of_files(cls, prompt: Prompt, references: str | Path | None, root: str | Path | None) -> "Shown":
        """references: references.jsonl; root: directory that its paths are relative to.

        Raises InputError when the prompt shows pictures and these are not given.
        """
        if not prompt.sees:
            return cls(None, {}, Path())
        for name, value in (("--references", references), ("--root", root)):
            if value is None:
                remedy = "Give it, or name a prompt without `image`."
                raise InputError("is needed: the prompt shows the reference picture", field=name, remedy=remedy)
        return cls(prompt.longest, {image.name: image for image in read_images(references)}, Path(root))

    def of(self, query: Query) -> Picture | None:
        """None where the prompt shows nothing. Raises StepFailure when the picture cannot be read."""
        if self.longest is None:
            return None
        return Picture.of(load_image(self.root, self._image(query)), self.longest)

    def content(self, query: Query) -> list:
        """What the query's answers are made of, beside its record: nothing, or the picture's size and time."""
        return [] if self.longest is None else [stamp(self.root / self._image(query).path)]

    def _image(self, query: Query) -> Image:
        if query.reference not in self.images:
            problem = f"reference {query.reference!r} is not in it"
            raise InputError(problem, field="--references", record=query.query_id)
        return self.images[query.reference]


def picture_of(shown: Shown | None, query: Query) -> Picture | StepFailure | None:
    """The picture to show with a query, the reason why there is none, or None where none is shown."""
    try:
        return shown and shown.of(query)
    except StepFailure as failure:
        return failure
