"""Device, precision and memory: shared by the generators that run on torch."""

from collections.abc import Callable, Sequence

import torch

from ipcir_steps.config.generation import Proxies
from ipcir_steps.errors import ModelError


def placement(settings: Proxies) -> tuple[torch.device, torch.dtype]:
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if settings.precision == "auto":
        return device, torch.float32 if device.type == "cpu" else torch.float16
    return device, getattr(torch, settings.precision)


def noise_sources(seeds: Sequence[int]) -> list[torch.Generator]:
    """One CPU generator per image: the noise does not depend on the device or on who shares the batch."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def in_batches(seeds: Sequence[int], size: int, draw: Callable[[Sequence[int]], list]) -> list:
    """``draw`` on at most ``size`` seeds at a time; the size is halved whenever a device runs out of memory.

    Raises ModelError when not even one image fits.
    """
    results: list = []
    while len(results) < len(seeds):
        try:
            results += draw(seeds[len(results) : len(results) + size])
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                raise ModelError(
                    "one image at a time does not fit into memory; lower proxies.width and proxies.height, or take a"
                    f" larger device ({str(error).splitlines()[0]})"
                ) from error
            size = (size + 1) // 2
            torch.cuda.empty_cache()
    return results


def out_of_memory(error: RuntimeError) -> bool:
    """Of a GPU, which has its own exception, or of the main memory or MPS, which only say so."""
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in said or "out of memory" in said
