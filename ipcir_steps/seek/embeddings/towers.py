"""Opening open_clip models tower by tower: what is not needed is neither read nor given room."""

import contextlib
import json
import logging
from collections.abc import Collection, Iterator
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode

TOWERS = ("image", "text")
_INIT = ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_")
_DRAWN = {torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_, *(vars(torch.nn.init)[n] for n in _INIT)}


class Undrawn(TorchFunctionMode):
    """Leaves out drawing random weights, which the file's replace: half of the time that loading takes."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in _DRAWN:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def load(name: str, pretrained: str | None, precision: str, towers: Collection[str] = TOWERS) -> torch.nn.Module:
    """A model with the weights of ``towers``; the others are stubs that hold a few numbers.

    name: as ``open_clip.create_model`` takes it, with the schema ``local-dir:`` or of a known architecture, whose
    weights are then the file ``pretrained``. A file that open_clip would have to convert is loaded whole. Raises what
    open_clip raises.
    """
    import open_clip

    with Undrawn():
        part = None if set(towers) == set(TOWERS) else _part(name, pretrained, precision, towers)
        return part or open_clip.create_model(
            name, pretrained, precision=precision, weights_only=True, require_pretrained=True
        )


def config_of(name: str) -> dict:
    """open_clip's configuration of a model: embed_dim, vision_cfg, text_cfg."""
    import open_clip

    directory = name.removeprefix("local-dir:")
    if directory == name:
        return open_clip.get_model_config(name)
    return json.loads((Path(directory) / "open_clip_config.json").read_text())["model_cfg"]


def skeleton(name: str, precision: str = "fp32", towers: Collection[str] = ()) -> torch.nn.Module:
    """The model with ``towers`` as the architecture has them, unset, and stubs for the others; it knows how pictures
    are prepared in any case."""
    import open_clip

    config, stubs = config_of(name), {}
    if "image" not in towers:
        size = config["vision_cfg"].get("image_size", 224)
        stubs["vision_cfg"] = {"image_size": size, "patch_size": size, "layers": 1, "width": 1, "head_width": 1}
    if "text" not in towers:
        length = config["text_cfg"].get("context_length", 77)
        stubs["text_cfg"] = {"context_length": length, "vocab_size": 2, "layers": 1, "width": 1, "heads": 1}
    with _no_warning_of_random_weights():
        return open_clip.create_model(name, load_weights=False, pretrained_text=False, precision=precision, **stubs)


@contextlib.contextmanager
def _no_warning_of_random_weights() -> Iterator[None]:
    """open_clip would tell whoever loads one tower that the model is random; its weights are set afterwards."""

    def other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("No pretrained weights loaded")

    logging.root.addFilter(other)
    try:
        yield
    finally:
        logging.root.removeFilter(other)


def _part(name: str, pretrained: str | None, precision: str, towers: Collection[str]) -> torch.nn.Module | None:
    from safetensors import safe_open

    path = Path(pretrained) if pretrained else _weights(Path(name.removeprefix("local-dir:")))
    if path is None or path.suffix != ".safetensors" or "multimodal_cfg" in config_of(name):
        return None
    model = skeleton(name, precision, towers)
    wanted = {key: value.shape for key, value in model.state_dict().items() if _tower(key) in (None, *towers)}
    with safe_open(path, "pt") as file:
        there = {key for key in file.keys() if _tower(key) in (None, *towers)}  # noqa: SIM118 (no mapping)
        if there != wanted.keys() or any(tuple(file.get_slice(key).get_shape()) != wanted[key] for key in there):
            return None
        with torch.no_grad():
            values = model.state_dict()
            for key in there:
                values[key].copy_(file.get_tensor(key))
    return model


def _weights(directory: Path) -> Path | None:
    found = sorted(directory.glob("open_clip_*.safetensors"))
    return found[0] if len(found) == 1 else None


def _tower(key: str) -> str | None:
    if key.startswith("visual."):
        return "image"
    return None if key in ("logit_scale", "logit_bias") else "text"
