"""Where models run, in which number format, and what happens when memory runs out."""

import functools
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ipcir_steps.core.errors import ModelError

log = logging.getLogger("models")


def placement(device: str, dtype: str = "auto"):
    """(torch.device, torch.dtype) of a model. device "auto": a GPU when there is one, else the CPU; dtype "auto":
    float16 on a GPU (published practice), float32 elsewhere."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    if dtype == "auto":
        return chosen, torch.float32 if chosen.type == "cpu" else torch.float16
    return chosen, getattr(torch, dtype)


def loaded(what: str, path: str | Path) -> None:
    """Log that a model was loaded: once per process, whatever the number of shards that the process works through."""
    log.info("loaded the %s in %s", what, path)


def lazy(make: Callable[[], Callable]) -> Callable:
    """The function that ``make()`` returns, made when it is first called: where nothing is left to do, no model is
    loaded."""
    made = functools.cache(make)
    return lambda *args: made()(*args)


def quiet() -> None:
    """No loading bars of transformers when stderr is not a terminal."""
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()


def noise_sources(seeds: Sequence[int]) -> list:
    """One CPU torch.Generator per image: the noise does not depend on the device or on who shares the batch."""
    import torch

    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def in_batches(seeds: Sequence[int], size: int, draw: Callable[[Sequence[int]], list]) -> list:
    """``draw`` on at most ``size`` seeds at a time; the size is halved whenever a device runs out of memory.

    Raises ModelError when not even one image fits.
    """
    import torch

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
    import torch

    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in said or "out of memory" in said
