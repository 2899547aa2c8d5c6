"""A chat model on this machine that takes pictures, through transformers."""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.config.language import LLM
from ipcir_steps.core.devices import placement
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.files import read_json
from ipcir_steps.core.journal import batches
from ipcir_steps.core.pretrained import load_pretrained, load_processor
from ipcir_steps.imagine.llm.batched import Request
from ipcir_steps.imagine.llm.local import Local, where
from ipcir_steps.imagine.llm.pictures import parts
from ipcir_steps.imagine.llm.prefix import common


class Seeing(Local):
    """Engine over an image-text model with a chat template.

    The answers of one query are decoded side by side, ``size`` at most: its picture and what their prompts begin with
    are read once. Queries follow one after the other, so that an answer depends on its own query alone.
    """

    def __init__(self, settings: LLM, path: Path, size: int):
        super().__init__(settings, path, size)
        self._open = functools.partial(_load, path, settings)

    @property
    def loaded(self):
        """(model, tokenizer), loaded when the first answer is not in the cache."""
        model, processor = self.read
        return model, processor.tokenizer

    @functools.cached_property
    def read(self):
        """(model, processor)."""
        return self._open()

    def share(self, other: "Seeing") -> None:
        self._open = lambda: other.read

    def decode(self, requests: Sequence[Request]) -> list[str]:
        """Answers in order. Those that follow each other with the same picture are decoded together."""
        rows = []
        for _, several in itertools.groupby(requests, lambda request: request.picture and request.picture.digest):
            rows += self._together(list(several))
        _, tokenizer = self.loaded
        self.tokens += sum(len(row.written) for row in rows)
        return [tokenizer.decode(row.written, skip_special_tokens=True) for row in rows]

    def _together(self, requests: Sequence[Request]):
        known: dict[str, dict] = {}
        image = requests[0].picture and requests[0].picture.open()
        rows = []
        for request in requests:
            text = self._text(request)
            if text not in known:
                known[text] = self._inputs(text, image)
            row = self._row(request, known[text]["input_ids"][0].tolist())
            row.seen = known[text]
            rows.append(row)
        start = common([row.prompt for row in rows])
        for batch in batches(rows, self.size):
            self.decoder.run(batch, start)
        return rows

    def _text(self, request: Request) -> str:
        _, processor = self.read
        asked = parts(request.conversation, request.picture and {"type": "image"})
        return processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)

    def _inputs(self, text: str, image) -> dict:
        """Tensors by name, as the model takes them: tokens, and the picture where there is one."""
        _, processor = self.read
        shown = {} if image is None else {"images": [image]}
        return dict(processor(text=[text], **shown, return_tensors="pt", add_special_tokens=False))


def takes_images(path: Path) -> bool:
    """Whether a directory's model is one that transformers knows with its vision tower alone, so that ``Local`` could
    not read it for a prompt without pictures."""
    from transformers.models.auto import modeling_auto as known

    if not (path / "config.json").is_file():
        return False
    kind = read_json(path / "config.json").get("model_type")
    return kind in known.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES and kind not in (
        known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    )


def _load(path: Path, settings: LLM):
    """Raises ModelError naming the path when it holds no image-text model with a chat template."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    device, dtype = placement(settings.device, settings.dtype)
    what = "chat model that takes images"
    model = load_pretrained(AutoModelForImageTextToText, path, what, dtype=dtype, **where(settings, device)).eval()
    processor = load_processor(AutoProcessor, path, what)
    if getattr(processor, "chat_template", None) is None:
        raise ModelError(
            f"{path}: it has no chat template for pictures. Use a chat (instruct) model that takes images."
        )
    return model, processor
