"""The one reader of checkpoint files: tensors by name from .safetensors, .ckpt, .pt, .pth and .bin, and never code."""

import argparse
import collections
import pathlib
import pickle
import re
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.core.errors import ModelError, first_line
from ipcir_steps.core.manifests import Manifest

WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


class Ignored:
    """Stands for an object that training scripts save beside the weights and that nothing here reads."""

    def __init__(self, *args):
        pass

    def __setstate__(self, state):
        pass


_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2
_LIGHTNING = ("pytorch_lightning", "lightning.pytorch")
# What published training scripts save beside the weights: options (argparse.Namespace), the scheduler's learning rate
# or the best score (numpy scalars), the directory of the run (pathlib), Lightning's options and callbacks. Names that
# are not installed, or that do more than hold values, are read as something that only holds values.
_HARMLESS = {
    "argparse.Namespace": argparse.Namespace,
    **{f"{module}.PosixPath": pathlib.PurePosixPath for module in ("pathlib", "pathlib._local")},
    **{f"{module}.WindowsPath": pathlib.PureWindowsPath for module in ("pathlib", "pathlib._local")},
    **{f"{name}.utilities.parsing.AttributeDict": collections.OrderedDict for name in _LIGHTNING},
    **{f"{name}.callbacks.model_checkpoint.ModelCheckpoint": Ignored for name in _LIGHTNING},
}


def _harmless() -> list[tuple]:
    """What ``torch.serialization.safe_globals`` takes: (object, the name that a file calls it by)."""
    import numpy as np

    makers = {"scalar": np.float64(0).__reduce__()[0], "_reconstruct": np.zeros(1).__reduce__()[0]}
    kinds = [type(np.dtype(kind)) for kind in ("?", "i4", "i8", "u1", "u4", "u8", "f2", "f4", "f8")]
    numbers = {f"{module}.{name}": maker for module in _NUMPY for name, maker in makers.items()}
    numbers |= {"numpy.dtype": np.dtype, "numpy.ndarray": np.ndarray}
    numbers |= {f"numpy.dtypes.{kind.__name__}": kind for kind in kinds}
    return [(value, name) for name, value in {**_HARMLESS, **numbers}.items()]


def read_checkpoint(path: str | Path, wrappers: Sequence[str] = ("state_dict",)) -> dict:
    """{key: tensor} of a checkpoint file, on the CPU, in the stored number format.

    wrappers: keys under which training scripts put the tensors; the first that is there is opened. "module." before
    every key (a network that was trained on several devices) is taken off, and what is no tensor is left out. A pickled
    file is read with ``weights_only``: beside tensors it may hold the harmless objects named above and nothing else.
    Raises ModelError when the file is missing, damaged, holds other objects, or holds no named tensors.
    """
    path = Path(path)
    values = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    wrapper = next((name for name in wrappers if isinstance(values, dict) and name in values), None)
    values = values if wrapper is None else values[wrapper]
    tensors = {key: value for key, value in values.items() if _is_tensor(value)} if isinstance(values, dict) else {}
    if not tensors:
        raise ModelError(f"{path} holds {type(values).__name__}, not named tensors. Fetch the published file again.")
    if all(str(key).startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def _is_tensor(value) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _read_safetensors(path: Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist.") from None
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from error


def _read_pickled(path: Path):
    import torch

    try:
        with torch.serialization.safe_globals(_harmless()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist.") from None
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)|unrecognized function (.+)|but got (.+)", str(error).partition("error: ")[2])
        what = f" ({next(filter(None, found.groups()))})" if found else ""
        raise ModelError(
            f"{path} holds an object that could run code{what}; it was not opened. Fetch the published file again, or"
            " save its state dict again with safetensors if you trust its source."
        ) from error
    except Exception as error:  # torch raises many kinds, depending on the damage
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> ModelError:
    """What to raise for a file of weights that cannot be read."""
    return ModelError(f"{path} is damaged ({first_line(error)}). Fetch the published file again.")


def weights_file(model: Manifest) -> Path:
    """The one weights file of a model, also when it lies in a directory. Raises ModelError when there is not one."""
    path = Path(model.path)
    if path.is_file():
        return path
    found = [path / name for name in sorted(model.files) if name.endswith(WEIGHTS)]
    if len(found) != 1:
        raise ModelError(
            f"model '{model.name}': {path} holds {len(found)} weights files, not one: name the file itself."
        )
    return found[0]
