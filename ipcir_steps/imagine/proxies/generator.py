"""What every proxy generator is given and returns. A new generator is one file with one class."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

from ipcir_steps.config.generation import GENERATORS, Proxies
from ipcir_steps.config.settings import read_settings
from ipcir_steps.core import plugins
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
    """The images to draw for one query, one per seed.

    caption: the relative caption of the query. texts: the prompt of each image, in place of ``prompt``; empty where all
    images have that one. numbers: which of the query's images they are, from 0; empty: the first ones.
    """

    query_id: str
    caption: str
    scene: str
    instances: tuple[Instance, ...]
    seeds: tuple[int, ...]
    reference: Path | None = None
    texts: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()

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
    """Draws proxies. Constructed as ``Class(settings, models)``; models: {role: manifest} of the declared roles.

    A class may declare, as literals, what ``ipcir_steps.config.generation.Generator`` has (roles, optional_roles,
    needs_layouts, needs_masks), and a ``Settings`` section: it is then constructed as ``Class(settings, models, own)``.

    identity: JSON value that, with settings and seeds, determines the images (model digests, variants).
    """

    identity: dict

    def draw(self, task: Task) -> tuple[Sequence[Image.Image], dict]:
        """One RGB image per seed, in order, and notes for the index (JSON values).

        An image must depend on its own seed and the task only. Raises StepFailure when this query cannot be drawn.
        """


def load_generator(settings: Proxies, models: dict[str, Manifest]) -> Generator:
    """The generator that ``settings.generator`` names, with the settings that its class declares.

    Raises InputError when there is none of that name, or when it has no such settings.
    """
    card = GENERATORS.get(settings.generator)
    try:
        kind = plugins.load(card.name if card else settings.generator)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"generator {settings.generator!r} cannot be imported ({error})",
            file="--settings",
            field="generator",
            remedy=f"Name one of {', '.join(GENERATORS)}, or an importable package.module:Class.",
        ) from error
    section = getattr(kind, "Settings", None)
    if section is not None:
        return kind(settings, models, read_settings(json.dumps(settings.settings), section))
    if settings.settings:
        raise InputError(
            f"generator {settings.generator!r} has no settings of its own",
            file="--settings", field="settings", remedy="Give its class a Settings section, or leave them out.",
        )  # fmt: skip
    return kind(settings, models)


def model_of(models: dict[str, Manifest], role: str, purpose: str) -> Manifest:
    """The model of a role. Raises InputError when it is missing."""
    if role not in models:
        remedy = f"Pass it as {role}=MANIFEST."
        raise InputError(f"{purpose} needs a model for the role {role!r}", field="--models", remedy=remedy)
    return models[role]
