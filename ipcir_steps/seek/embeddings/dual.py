"""CLIP and SigLIP models in transformers' layout: two towers, each prepared for by the model's own processor."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch

from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.pretrained import load_pretrained, load_processor

# By the type of the model; SigLIP 2 of a fixed size is siglip, that for images of any size siglip2.
KINDS = {"clip": "CLIPModel", "siglip": "SiglipModel", "siglip2": "Siglip2Model"}
PARTS = {
    "clip": {"image": "CLIPVisionModelWithProjection", "text": "CLIPTextModelWithProjection"},
    "siglip": {"image": "SiglipVisionModel", "text": "SiglipTextModel"},
    "siglip2": {"image": "Siglip2VisionModel", "text": "Siglip2TextModel"},
}  # one tower with the projection of its own


def kind_of(directory: Path) -> str | None:
    """The type of a model in transformers' layout; None where the directory holds none."""
    if not (directory / "config.json").is_file():
        return None
    return json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type", "")


class Dual(torch.nn.Module):
    """What ``Encoder`` asks of a model: encode_image(what ``Prepare.image`` makes, [n, …]) and encode_text(tokens int64
    [n, length]), both float [n, D], un-normalised.

    towers: by name, "image" and "text" or one of them. architecture: transformers' name of the whole model; dims: D.
    """

    def __init__(self, towers: Mapping[str, torch.nn.Module], architecture: str, dims: int):
        super().__init__()
        self.towers, self.architecture, self.dims = torch.nn.ModuleDict(towers), architecture, dims

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.ndim == 3:
            patches, mask, shapes = pixels[..., :-3], pixels[..., -3].long(), pixels[:, 0, -2:].long()
            seen = {"pixel_values": patches, "pixel_attention_mask": mask, "spatial_shapes": shapes}
            return _feature(self.towers["image"](**seen))
        return _feature(self.towers["image"](pixel_values=pixels))

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        # Without a mask: CLIP's text tower looks back alone, SigLIP was trained on padding to the full length.
        return _feature(self.towers["text"](input_ids=tokens))


def _feature(found) -> torch.Tensor:
    """Of CLIP's towers, which have a projection behind the pooled state, or of SigLIP's."""
    projected = [found[name] for name in ("image_embeds", "text_embeds") if name in found]
    return projected[0] if projected else found.pooler_output


def load_dual(directory: Path, dtype: torch.dtype, towers: Collection[str]) -> tuple[Dual, "Prepare"]:
    """A model and its processor, from disk, without code of the model's own.

    towers: "image" and "text", those that are loaded. Raises ModelError for another type of model, and for weights or a
    processor that are not there.
    """
    import transformers

    kind = kind_of(directory)
    if kind not in KINDS:
        raise ModelError(f"{directory} holds a model of type {kind!r}. Known are {', '.join(KINDS)}.")
    what = "dual encoder"
    try:
        config = transformers.AutoConfig.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{directory}: no configuration of a {what} could be read ({error})") from error
    own = {"image": config.vision_config, "text": config.text_config}
    if kind == "clip":  # the whole model's holds, whatever its towers' say
        own["image"].projection_dim = own["text"].projection_dim = config.projection_dim
    found = {}
    for tower in sorted(towers):
        part = getattr(transformers, PARTS[kind][tower])
        found[tower] = load_pretrained(part, directory, what, dtype=dtype, config=own[tower])
    dims = config.projection_dim if kind == "clip" else config.vision_config.hidden_size
    processor = load_processor(transformers.AutoProcessor, directory, what)
    return Dual(found, KINDS[kind], dims), Prepare(processor, config)


class Prepare:
    """Images and texts as the model's own processor prepares them."""

    def __init__(self, processor, config):
        self.processor, self.length = processor, config.text_config.max_position_embeddings
        self._side = getattr(config.vision_config, "image_size", None)

    @property
    def size(self) -> int:
        """Pixels of a side. Raises ModelError where the model takes images of any size."""
        if self._side is None:
            raise ModelError("SigLIP 2 for any image size takes no target_pad: set embeddings.preprocessing: model.")
        return self._side

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation that images are normalised with."""
        images = self.processor.image_processor
        return list(images.image_mean), list(images.image_std)

    def image(self, image) -> torch.Tensor:
        """PIL image of any mode → float32 [3, H, W]; where the model takes images of any size [P, C + 3]: its patches,
        whether each is one, and how many there are in height and width."""
        found = self.processor(images=image.convert("RGB"), return_tensors="pt")
        pixels = found["pixel_values"][0]
        if "spatial_shapes" not in found:
            return pixels
        shapes = found["spatial_shapes"].expand(len(pixels), 2)
        return torch.cat([pixels, found["pixel_attention_mask"][0][:, None], shapes], 1)

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """int64 [n, length]: padded, or cut, to the length of the text tower."""
        options = {"padding": "max_length", "max_length": self.length, "truncation": True, "return_tensors": "pt"}
        return self.processor(text=list(texts), **options)["input_ids"]
