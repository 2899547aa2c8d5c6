"""No images at all: queries are ranked by their text, and by the fusion of reference and captions (``no_proxy``)."""

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.manifests import Manifest


class Nothing:
    """The workflow plans no job of it; who asks for its images is told so. Raises InputError."""

    def __init__(self, settings: Proxies, models: dict[str, Manifest]):
        raise InputError(
            "is 'none', which draws nothing",
            file="--settings",
            field="generator",
            remedy="Name another generator, or rank by the variants base and no_proxy.",
        )
