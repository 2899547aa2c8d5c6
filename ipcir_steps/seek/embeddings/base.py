"""What all encoders have in common: how an image file is read, and what feature files say of the model."""

from collections.abc import Callable
from pathlib import Path

import PIL.Image
import torch

from ipcir_steps.config.vision import Embeddings, Reading
from ipcir_steps.core.errors import InputError, ModelError, StepFailure
from ipcir_steps.core.images import decode, scaled
from ipcir_steps.core.manifests import Manifest


class Readable:
    """An encoder that prepares images with its ``transform``."""

    transform: Callable

    def read(self, path: Path):
        """Decode and prepare an image file. Raises StepFailure when it cannot be read."""
        try:
            return self.transform(decode(path))
        except InputError as error:
            raise StepFailure(f"image {path.name} cannot be read ({error.problem})") from error


class Multimodal(Readable):
    """An encoder that reads an image, a text, or both together; a prepared image is a PIL image.

    reading: how long images may be, and the instructions; identity: what feature files say of the model.
    """

    reading: Reading
    identity: dict

    @property
    def token_embedding(self):
        """Raises ModelError: no pseudo-word was ever trained for such a model."""
        raise ModelError(f"pseudo-words need a model in open_clip's layout, {self.identity['model']} is another.")

    def transform(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """Of any mode → RGB, ``reading.longest`` pixels on the longer side at most."""
        return scaled(image.convert("RGB"), self.reading.longest)


def identity_of(
    manifest: Manifest, architecture: str | None, settings: Embeddings, prepared: dict, dtype: torch.dtype
) -> dict:
    """What feature files say about their maker. prepared: how images (and texts) are made its inputs."""
    return {
        "model": manifest.name,
        "architecture": architecture,
        "source": manifest.source,
        "revision": manifest.revision,
        "digest": manifest.digest,
        "encoder": settings.encoder,
        **prepared,
        "dtype": str(dtype).removeprefix("torch."),
    }
