"""How likely a captioner finds captions, given an image: BLIP-2, BLIP, or a chat model that takes images."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ipcir_steps.config.vision import Captions
from ipcir_steps.core.errors import ModelError
from ipcir_steps.imagine.captions import opened

REMEMBERED = 16


class Likelihood:
    """Log-likelihoods of captions by the model in a directory.

    A caption is read as it would be written: behind the image, the prompt and the start, up to and with the token that
    ends it. Raises ModelError when the directory holds no image-to-text model, or an encoder-decoder (BLIP-2 with T5).
    """

    def __init__(self, path: str | Path, settings: Captions):
        self.model, processor, self._read, _, _ = opened(path, settings)
        if getattr(self.model.config, "is_encoder_decoder", False) or not _decodes(self.model):
            raise ModelError(f"{path}: the likelihood of captions is only read from a model that decodes alone")
        self._tokenizer = processor.tokenizer
        self._blanks: dict[tuple, torch.Tensor] = {}

    @torch.inference_mode()
    def of(self, image, captions: Sequence[str]) -> torch.Tensor:
        """Nats, float32 [K], of each caption given the image (RGB). They are one batch, the image is its only other
        member."""
        return self._read_all(self._inputs(image), captions)

    @torch.inference_mode()
    def blank(self, image, captions: Sequence[str]) -> torch.Tensor:
        """The same without an image: all pixels at the mean that the model's images are normalised with, in a picture
        of the image's shape. The last ones are remembered, because every candidate of a query has the same."""
        inputs = self._inputs(image)
        key = inputs["pixel_values"].shape, tuple(captions)
        if key not in self._blanks:
            if len(self._blanks) >= REMEMBERED:
                self._blanks.clear()
            empty = torch.zeros_like(inputs["pixel_values"])
            self._blanks[key] = self._read_all({**inputs, "pixel_values": empty}, captions)
        return self._blanks[key]

    def _inputs(self, image) -> dict[str, torch.Tensor]:
        return dict(self._read(image).to(self.model.device, self.model.dtype))

    def _read_all(self, inputs: dict, captions: Sequence[str]) -> torch.Tensor:
        start = _start(self.model, inputs)
        rows = [[*row, *self._end()] for row in self._tokenizer(list(captions), add_special_tokens=False)["input_ids"]]
        longest = max(map(len, rows))
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        counted = torch.zeros(len(rows), longest)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            counted[number, : len(row)] = 1
        ids, counted = ids.to(start.device), counted.to(start.device)
        whole = torch.cat([start.expand(len(rows), -1), ids], 1)
        seen = torch.cat([torch.ones_like(start).expand(len(rows), -1), counted.long()], 1)
        run = _blip2 if self.model.config.model_type == "blip-2" else _other
        logits = run(self.model, inputs, whole, seen)[:, start.shape[1] - 1 : -1].float()
        each = logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
        return (each * counted).sum(1).cpu()

    def _end(self) -> list[int]:
        """The token that ends a caption, of several the first; none where the model has none."""
        if self.model.config.model_type == "blip":
            return [self.model.config.text_config.sep_token_id]
        end = self.model.generation_config.eos_token_id
        end = self._tokenizer.eos_token_id if end is None else end
        end = end[0] if isinstance(end, list) else end
        return [] if end is None else [end]


def _decodes(model) -> bool:
    return getattr(model.config, "use_decoder_only_language_model", True)


def _start(model, inputs: dict) -> torch.Tensor:
    """int64 [1, P]: what stands before the caption."""
    given, kind = inputs.get("input_ids"), model.config.model_type
    if kind == "blip":  # its own generate puts the start in place of the first token and leaves the last out
        first = torch.tensor([[model.config.text_config.bos_token_id]], device=model.device)
        return first if given is None else torch.cat([first, given[:, 1:-1]], 1)
    if given is None:
        image = [model.config.image_token_index] * model.config.num_query_tokens
        return torch.tensor([[*image, model.config.text_config.bos_token_id]], device=model.device)
    return given


def _blip2(model, inputs: dict, ids: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Logits [K, L, V]; the image goes through the vision tower once."""
    image = model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
    embedded = model.get_input_embeddings()(ids)
    place = (ids == model.config.image_token_index)[..., None]
    embedded = embedded.masked_scatter(place, image.to(embedded.dtype).expand(len(ids), -1, -1))
    return model.language_model(inputs_embeds=embedded, attention_mask=seen).logits


def _other(model, inputs: dict, ids: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Logits [K, L, V]; the image is repeated for each caption. What it has for each token is 0 for those added."""
    prompt = inputs["input_ids"].shape if "input_ids" in inputs else None
    more = {}
    for name, value in inputs.items():
        if name in ("input_ids", "attention_mask"):
            continue
        if prompt is not None and value.shape == prompt:
            value = torch.cat([value, value.new_zeros(1, ids.shape[1] - prompt[1])], 1)
        more[name] = value.repeat(len(ids), *[1] * (value.dim() - 1))
    return model(input_ids=ids, attention_mask=seen, **more).logits
