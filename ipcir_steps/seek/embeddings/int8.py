"""CLIP towers with weights of eight bits, through ONNX Runtime: several times as fast on a CPU.

Exported once per model and tower, and kept in the user's cache. Products of matrices are in eight bits (dynamic
quantisation, symmetric weights, a scale per column), everything else in float32. A tower whose features would come out
otherwise than torch's keeps float32 throughout.
"""

import contextlib
import importlib
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import torch

from ipcir_steps.core.cache import home
from ipcir_steps.core.errors import ModelError
from ipcir_steps.seek.embeddings import towers

log = logging.getLogger(__name__)
_RECIPE = 2  # of the export; another one makes other files
CLOSE = 0.99  # least cosine of features in eight bits with torch's, on inputs of the tower's own kind
_CAPTIONS = (
    "a dog", "two people on a beach at sunset", "a red car", "the same room, without the table and with more light",
    "snow", "an old photograph of a child holding a large fish beside a river", "a drawing of a cat", "food on a plate",
)  # fmt: skip
_LARGE = 2_000_000_000  # bytes of weights that one ONNX file does not hold


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
        return _features(self._sessions[tower], values)


def _features(session, values: torch.Tensor) -> torch.Tensor:
    """One by one: inputs are scaled to eight bits by the largest number of a run, so that in a batch each feature
    would depend on its company."""
    found = [session.run(None, {"values": one.numpy()})[0] for one in values.split(1)]
    return torch.from_numpy(np.concatenate(found))


class _Tower(torch.nn.Module):
    def __init__(self, model: torch.nn.Module, tower: str):
        super().__init__()
        self.model, self.encode = model, getattr(model, f"encode_{tower}")

    def forward(self, values):
        return self.encode(values)


def _need(*libraries: str) -> None:
    """Import them. Raises ModelError with what to install."""
    try:
        for name in libraries:
            importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"embeddings.encoder: int8 needs {error.name}. Install it: pip install 'ipcir[vision]'."
        ) from None


def _session(path: Path):
    _need("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait do not keep other programs, or those that decode pictures, waiting.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library has no class of its own for a damaged file
        raise ModelError(f"{path} cannot be read ({error}). Delete it: it is made anew.") from error


def _exported(name: str, pretrained: str | None, digest: str, tower: str) -> Path:
    """The tower's file in the cache; made where it is not there."""
    directory = home("cache") / "ipcir/int8" / f"{digest[:24]}-{tower}-{_RECIPE}"
    path = directory / "model.onnx"
    if path.is_file():
        return path
    _need("onnx", "onnxruntime", "onnxscript")  # half a second, for the export alone
    log.info("writing the %s tower of %s in int8, once", tower, name)
    directory.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".part-"))
    try:
        _export(name, towers.load(name, pretrained, "fp32", (tower,)), tower, part)
        os.rename(part, directory)
    except OSError:
        if not path.is_file():  # else another process was faster
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def _export(name: str, model: torch.nn.Module, tower: str, directory: Path) -> None:
    """Write ``model.onnx``: in eight bits where that is close to torch, else in float32."""
    trials = _trials(name, model, tower)
    whole, path = directory / "whole.onnx", directory / "model.onnx"
    asked = _Tower(model.eval().requires_grad_(False), tower)
    with _without_fast_path(), _quiet():
        torch.onnx.export(
            asked, (trials[:1],), whole, dynamo=True, verbose=False, input_names=["values"], output_names=["features"]
        )
    with torch.inference_mode():
        wanted = asked(trials)
    _quantise(whole, path)
    least = torch.cosine_similarity(_features(_session(path), trials), wanted).min().item()
    log.info("%s tower in int8: cosine with torch at least %.4f on %d trials", tower, least, len(trials))
    if not least >= CLOSE:
        log.warning(
            "The %s tower stays in float32: in int8 its features would have a cosine of %.3f with torch's, less than"
            " %.2f.", tower, least, CLOSE,
        )  # fmt: skip
        path.unlink()
        _copy(whole, path)
    for file in directory.glob("whole.onnx*"):
        file.unlink()


def _trials(name: str, model: torch.nn.Module, tower: str) -> torch.Tensor:
    """Inputs of the tower's kind, always the same: smooth random pictures, or captions."""
    if tower == "text":
        import open_clip

        return open_clip.get_tokenizer(name)(list(_CAPTIONS))
    size = model.visual.preprocess_cfg["size"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (torch.randn(len(_CAPTIONS), 3, *shape, generator=generator) for shape in ((7, 7), size))
    return torch.nn.functional.interpolate(coarse, size, mode="bicubic") + 0.1 * fine


def _quantise(whole: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            whole, path, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"],
            reduce_range=True,  # else products overflow on processors without instructions for int8
            use_external_data_format=_bytes(path.parent) > _LARGE,
        )  # fmt: skip


def _copy(whole: Path, path: Path) -> None:
    import onnx

    onnx.save(onnx.load(whole), path, save_as_external_data=_bytes(path.parent) > _LARGE, location="model.onnx.data")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The libraries warn of steps that do not concern transformers."""
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(before)


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    """torch's fast path through attention has no counterpart in ONNX."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())
