"""What every proxy generator is given and returns. A new generator is one file with one class."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core import plugins as own
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.images import open_rgb
from ipcir_steps.core.manifests import Manifest


@dataclasses.dataclass(frozen=True)
class Instance:
    """One object of the imagined image.

    box: x1, y1, x2, y2 as fractions of the image. from_image: it should look like the object in the reference.
    mask: COCO RLE of that object in the reference image, None when none was found. region: COCO RLE of where the
    object goes in the imagined image, in place of the box, for generators that can (MIGC++).
    """

    description: str
    category: str
    box: tuple[float, float, float, float]
    size: float = 3
    from_image: bool = False
    mask: dict | None = None
    region: dict | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """The images to draw for one query, one per seed. caption: the relative caption of the query."""

    query_id: str
    caption: str
    scene: str
    instances: tuple[Instance, ...]
    seeds: tuple[int, ...]
    reference: Path | None = None

    @property
    def prompt(self) -> str:
        """Scene and instance descriptions as one text."""
        parts = [self.scene, *(instance.description for instance in self.instances)]
        return ", ".join(part.strip().rstrip(".") for part in parts if part.strip())

    def open_reference(self) -> Image.Image:
        """The reference image as RGB. Raises StepFailure when it is absent or unreadable."""
        if self.reference is None:
            raise StepFailure("no reference image is listed for this query")
        try:
            return open_rgb(self.reference)
        except InputError as error:
            raise StepFailure(f"reference image {self.reference.name} cannot be read ({error.problem})") from error


class Generator(Protocol):
    """Draws proxies. Constructed as ``Class(settings, models)``; models: {role: manifest} of the command line.

    identity: JSON value that, with settings and seeds, determines the images (model digests, variants).
    """

    identity: dict

    def draw(self, task: Task) -> tuple[Sequence[Image.Image], dict]:
        """One RGB image per seed, in order, and notes for the index (JSON values).

        An image must depend on its own seed and the task only. Raises StepFailure when this query cannot be drawn.
        """


GENERATORS = {
    "migc": "ipcir_steps.imagine.proxies.migc_generator:MIGCGenerator",
    "text_to_image": "ipcir_steps.imagine.proxies.text_to_image:TextToImage",
    "gligen": "ipcir_steps.imagine.proxies.gligen:GLIGEN",
    "image_editing": "ipcir_steps.imagine.proxies.image_editing:ImageEditing",
    "directory": "ipcir_steps.imagine.proxies.directory:Directory",
}


def load_generator(settings: Proxies, models: dict[str, Manifest]) -> Generator:
    """The generator that ``settings.generator`` names. Raises InputError when there is none of that name."""
    try:
        kind = own.load(GENERATORS.get(settings.generator, settings.generator))
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"generator {settings.generator!r} cannot be imported ({error})",
            file="--settings",
            field="generator",
            remedy=f"Name one of {', '.join(GENERATORS)}, or an importable package.module:Class.",
        ) from error
    return kind(settings, models)


def model_of(models: dict[str, Manifest], role: str, purpose: str) -> Manifest:
    """The model given as ``--role``. Raises InputError when it is missing."""
    if role not in models:
        raise InputError(f"{purpose} needs a model", field=f"--{role}", remedy="Pass the manifest of one.")
    return models[role]
