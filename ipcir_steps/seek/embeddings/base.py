"""What all encoders have in common: how an image file is read, and what feature files say of the model."""

from collections.abc import Callable
from pathlib import Path

import torch

from ipcir_steps.config.vision import Embeddings
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.images import decode
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
