"""CLIP towers with weights of eight bits, through ONNX Runtime: several times as fast on a CPU.

Exported once per model and tower, and kept in the user's cache. Products of matrices are in eight bits (dynamic
quantisation, symmetric weights), everything else in float32.
"""

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Collection
from pathlib import Path

import torch

from ipcir_steps.core.cache import home
from ipcir_steps.core.errors import ModelError
from ipcir_steps.seek.embeddings import towers

log = logging.getLogger(__name__)
_RECIPE = 1  # of the export; another one makes other files


class Sessions(torch.nn.Module):
    """A model that open_clip's callers can ask, with an ONNX session per tower of ``wanted``.

    name, pretrained: see ``towers.load``. digest: of the model's files. Raises ModelError where a library is missing.
    """

    def __init__(self, name: str, pretrained: str | None, digest: str, wanted: Collection[str]):
        super().__init__()
        self.visual = torch.nn.Module()
        self.visual.preprocess_cfg = towers.skeleton(name).visual.preprocess_cfg
        self._sessions = {tower: _session(_exported(name, pretrained, digest, tower)) for tower in wanted}

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """[n, 3, size, size] → [n, D]."""
        return self._run("image", pixels.float())

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """int64 [n, context] → [n, D]."""
        return self._run("text", tokens)

    def _run(self, tower: str, values: torch.Tensor) -> torch.Tensor:
        (found,) = self._sessions[tower].run(None, {"values": values.numpy()})
        return torch.from_numpy(found)


class _Tower(torch.nn.Module):
    def __init__(self, model: torch.nn.Module, tower: str):
        super().__init__()
        self.model, self.encode = model, getattr(model, f"encode_{tower}")

    def forward(self, values):
        return self.encode(values)


def _libraries():
    try:
        import onnx  # noqa: F401 (the export needs it)
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"embeddings.encoder: int8 needs {error.name}. Install it: pip install 'ipcir[int8]'."
        ) from None
    return onnxruntime


def _session(path: Path):
    runtime = _libraries()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library has no class of its own for a damaged file
        raise ModelError(f"{path} cannot be read ({error}). Delete it: it is made anew.") from error


def _exported(name: str, pretrained: str | None, digest: str, tower: str) -> Path:
    """The tower's file in the cache; made where it is not there."""
    directory = home("cache") / "ipcir/int8" / f"{digest[:24]}-{tower}-{_RECIPE}"
    path = directory / "model.onnx"
    if path.is_file():
        return path
    _libraries()
    log.info("writing the %s tower of %s in int8, once", tower, name)
    directory.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".part-"))
    try:
        _export(towers.load(name, pretrained, "fp32", (tower,)), tower, part)
        os.rename(part, directory)
    except OSError:
        if not path.is_file():  # else another process was faster
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def _export(model: torch.nn.Module, tower: str, directory: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    size = model.visual.preprocess_cfg["size"]
    height, width = (size, size) if isinstance(size, int) else size
    shape = (2, 3, height, width) if tower == "image" else (2, model.context_length)
    example = torch.zeros(shape, dtype=torch.float32 if tower == "image" else torch.int64)
    whole = directory / "whole.onnx"
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it has no counterpart in ONNX
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Tower(model.eval().requires_grad_(False), tower), (example,), whole, dynamo=True, verbose=False,
                dynamic_shapes=({0: torch.export.Dim("n")},), input_names=["values"], output_names=["features"],
            )  # fmt: skip
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it warns of a step that does not concern transformers
    try:
        quantize_dynamic(
            whole, directory / "model.onnx", weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"],
            use_external_data_format=whole.with_suffix(".onnx.data").is_file() and _bytes(directory) > 2_000_000_000,
        )  # fmt: skip
    finally:
        logging.root.setLevel(before)
    for file in directory.glob("whole.onnx*"):
        file.unlink()


def _bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())
