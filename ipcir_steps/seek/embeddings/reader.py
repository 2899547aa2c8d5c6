"""Multimodal language models as encoders (GME, Qwen3-VL-Embedding and others on Qwen's vision-language models).

An image, a text, or both together are read as a chat after an instruction; the feature is the last layer's state at the
last token. In transformers' layout, classes of transformers alone.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import torch

from ipcir_steps.config.vision import Embeddings, Reading
from ipcir_steps.core.devices import placement
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.core.pretrained import load_pretrained, load_processor
from ipcir_steps.seek.embeddings.base import Multimodal, identity_of

KINDS = {"qwen2_vl": "Qwen2VLModel", "qwen2_5_vl": "Qwen2_5_VLModel", "qwen3_vl": "Qwen3VLModel"}


@dataclasses.dataclass(frozen=True)
class Reader(Multimodal):
    """Answers like ``clip.Encoder``; a prepared image is a PIL image here, and ``joint`` reads an image and a text."""

    model: torch.nn.Module
    processor: object
    reading: Reading
    identity: dict
    dims: int

    @property
    def device(self) -> torch.device:
        return self.model.device

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, D] on the CPU, un-normalised."""
        return self._encode([(None, text) for text in texts], self.reading.instruction)

    def images(self, images: Sequence[PIL.Image.Image]) -> torch.Tensor:
        """Prepared images → float32 [n, D] on the CPU, un-normalised."""
        return self._encode([(image, None) for image in images], self.reading.instruction)

    def joint(self, images: Sequence[PIL.Image.Image], texts: Sequence[str]) -> torch.Tensor:
        """Composed queries, an image and a text in one chat → float32 [n, D] on the CPU, un-normalised."""
        return self._encode(list(zip(images, texts, strict=True)), self.reading.query_instruction)

    @torch.inference_mode()
    def _encode(self, items: Sequence[tuple[PIL.Image.Image | None, str | None]], instruction: str) -> torch.Tensor:
        prompts = [self._prompt(image, text, instruction) for image, text in items]
        images = [image for image, _ in items if image is not None]
        inputs = self.processor(
            text=prompts, images=images or None, padding=True, padding_side="left", add_special_tokens=False,
            return_tensors="pt",
        )  # fmt: skip
        floats = {name: value.to(self.model.dtype) for name, value in inputs.items() if value.is_floating_point()}
        inputs = {name: value.to(self.device) for name, value in {**inputs, **floats}.items()}
        return self.model(**inputs, use_cache=False).last_hidden_state[:, -1].float().cpu()

    def _prompt(self, image, text: str | None, instruction: str) -> str:
        said = [] if text is None else [{"type": "text", "text": text}]
        asked = [*([] if image is None else [{"type": "image"}]), *said]
        chat = [{"role": "user", "content": asked}]
        if instruction:
            chat.insert(0, {"role": "system", "content": [{"type": "text", "text": instruction}]})
        prompt = self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        return prompt + self.reading.ending


def load_reader(manifest: Manifest, where: Path, kind: str, settings: Embeddings) -> Reader:
    """kind: a key of ``KINDS``. Raises ModelError for weights, a processor or a chat template that are not there."""
    import transformers

    what = "multimodal language model"
    if settings.encoder == "int8" or settings.preprocessing == "target_pad":
        raise ModelError(f"{where}: a {what} takes neither encoder int8 nor preprocessing target_pad.")
    device, dtype = placement(settings.device, settings.dtype)
    model = load_pretrained(getattr(transformers, KINDS[kind]), where, what, dtype=dtype)
    processor = load_processor(transformers.AutoProcessor, where, what)
    if getattr(processor, "chat_template", None) is None:
        raise ModelError(f"{where}: its processor has no chat template.")
    prepared = {"preprocessing": "processor", "reading": settings.reading.model_dump(mode="json")}
    identity = identity_of(manifest, KINDS[kind], settings, prepared, dtype)
    dims = model.config.get_text_config().hidden_size
    return Reader(model.eval().requires_grad_(False).to(device), processor, settings.reading, identity, dims)
