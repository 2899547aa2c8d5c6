"""The trained weights that the package ships, and how they get into a model."""

from collections.abc import Callable
from pathlib import Path

import torch

from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.files import used

SHIPPED = Path(__file__).parent / "weights"  # {name}.safetensors, float16, as ``ipcir mini train`` writes them


def settle(
    model: torch.nn.Module, weights: Path | None, name: str, unpack: Callable[[dict], dict] = dict
) -> torch.nn.Module:
    """Put the trained weights ``{name}.safetensors`` (float16), ``unpack``ed to its state, into a model, as float32.

    Raises ModelError naming the file when it does not fit.
    """
    from safetensors.torch import load_file

    path = weights and weights / f"{name}.safetensors"
    if path and path.is_file():
        try:
            model.load_state_dict(unpack(load_file(used(path, weights))))
        except (KeyError, RuntimeError) as error:
            raise ModelError(f"{path} does not fit {type(model).__name__}: {error}") from error
    return model
