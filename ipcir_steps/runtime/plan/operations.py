"""Operations of each step before it runs: the real classes on the meta device, from the models' configs.

Counted as in ``counting``. A *pass* is one run of a model over a batch; the weights are read once per pass, which is
what a token costs that is decoded alone.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ipcir_steps.config import Resolved
from ipcir_steps.core import paths
from ipcir_steps.runtime.plan.architectures import Architecture, absent, build, find
from ipcir_steps.runtime.plan.backbones import Backbone
from ipcir_steps.runtime.plan.captioning import captioning
from ipcir_steps.runtime.plan.diffusion import drawing
from ipcir_steps.runtime.plan.memory import ROWS
from ipcir_steps.runtime.plan.seen import KIND, answering, text_of
from ipcir_steps.runtime.plan.verifying import verifying
from ipcir_steps.runtime.plan.weights import fetched
from ipcir_steps.runtime.plan.work import Typical, Unknown, Work, counted, decoding, meta


class Counts:
    """The work of each step of a configuration; every model is built once. Raises Unknown naming the model."""

    def __init__(self, config: Resolved, typical: Typical | None = None):
        self.config, self.typical = config, typical or Typical()
        self._models: dict = {}
        self._backbones: dict[str, Backbone] = {}

    def architecture(self, role: str, source: str, manifest: Path | None = None) -> Architecture:
        """manifest: of a model that may have been fetched already, by default that of the role."""
        manifest = manifest or Path(paths.MANIFEST.format(stack=self.config.stack_name, role=role))
        known = find(role, source, fetched(source, manifest)[0])
        if known is not None:
            return known
        if Path(source).is_dir():
            raise Unknown(f"not counted: {source} has no {', '.join(absent(role, Path(source)))}")
        raise Unknown(f"not counted: the architecture of {source} is not known")

    def model(self, role: str, part: str = "model"):
        source = self.config.models[role].source
        parts = self.architecture(role, source).parts
        return self.built(role, part, source, parts.get(part, parts.get("model")))

    def built(self, role: str, part: str, source: str, config: dict):
        if (role, part, source) not in self._models:
            self._models[role, part, source] = build(role, part, config)
        return self._models[role, part, source]

    def captions(self) -> list[Work]:
        """Per image: all its captions."""
        return captioning(self, self.config.captions.count)

    def proxy_captions(self) -> list[Work]:
        """Per query: the captions of all its proxies."""
        number = self.config.proxies.count
        return [
            Work(work.role, number * work.operations, number * work.passes)
            for work in captioning(self, self.config.proxy_captions.count)
        ]

    def reasoning(self) -> list[Work]:
        """Per query: K answers; what the prompts share is read once per step."""
        settings, typical = self.config.reasoning, self.typical
        answers = min(settings.captions or self.config.captions.count, self.config.captions.count)
        own = typical.source_tokens + typical.request_tokens
        return self._answers("reasoning", answers, own, typical.answer_tokens)

    def layouts(self) -> list[Work]:
        """Per query: one answer. Whatever a grammar forces is counted like any other token."""
        own = self.config.layouts.captions * self.typical.source_tokens + self.typical.request_tokens
        return self._answers("layouts", 1, own, self.typical.layout_tokens)

    def _answers(self, step: str, answers: int, own: int, tokens: int) -> list[Work]:
        from ipcir_steps.imagine.llm.prompts import load_prompt

        settings = getattr(self.config, step)
        rows, new = settings.batch_size or ROWS, min(settings.max_new_tokens, tokens)
        kind = self.architecture("llm", self.config.models["llm"].source).parts["model"].get("model_type")
        if (prompt := load_prompt(settings.prompt)).sees or kind == KIND:
            return [answering(self, prompt, answers, own, new, rows)]
        shared, tail = prompt_tokens(prompt)
        first, later = decoding(self.model("llm"), rows, own + tail, new, shared)
        return [Work("llm", answers / rows * (first + later), answers / rows * new)]

    def masks(self) -> list[Work]:
        """Per query: detector and segmenter for each instance from the reference."""
        pairs, works = self.typical.masks_per_query, []
        for role, count in (("detector", detecting), ("segmenter", segmenting)):
            works.append(Work(role, pairs * count(self.model(role), self.typical.picture), pairs))
        return works

    def proxies(self) -> list[Work]:
        """Per image: the steps of the U-Net, the decoder, and a share of text and reference, which all images have."""
        return drawing(self)

    def verify(self) -> list[Work]:
        """Per query: all its candidates."""
        return verifying(self)

    def image(self, backbone: str) -> list[Work]:
        return self._backbone(backbone).image()

    def text(self, backbone: str) -> list[Work]:
        return self._backbone(backbone).text()

    def joint(self, backbone: str) -> list[Work]:
        return self._backbone(backbone).joint()

    def _backbone(self, name: str) -> Backbone:
        if name not in self._backbones:
            self._backbones[name] = Backbone(self, name)
        return self._backbones[name]


def prompt_tokens(prompt) -> tuple[int, int]:
    """(tokens that all prompts of this kind begin with, tokens of their rest without captions): 4 characters each."""
    before, _, after = text_of(prompt).partition("{")
    return len(before) // 4, len(after) // 4


def detecting(model, picture: tuple[int, int]) -> int:
    """A category of one word in a picture of this size, scaled as published: 800 at the short side, 1333 at most."""
    height, width = picture
    scale = min(800 / min(picture), 1333 / max(picture))
    size = round(height * scale), round(width * scale)
    words = meta(1, 4, integers=True)
    inputs = {"input_ids": words, "attention_mask": words, "token_type_ids": words}
    with unchecked():
        return counted(lambda: model(pixel_values=meta(1, 3, *size), **inputs))[1]


def segmenting(model, picture: tuple[int, int]) -> int:
    side = model.config.vision_config.image_size
    inputs = {"pixel_values": meta(1, 3, side, side), "input_boxes": meta(1, 1, 4)}
    return counted(lambda: model(**inputs, multimask_output=False))[1]


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Grounding DINO compares values of tensors, which on the meta device have none."""
    from transformers.models.grounding_dino import modeling_grounding_dino as module

    check, module.torch_compilable_check = module.torch_compilable_check, lambda *args, **kwargs: None
    try:
        yield
    finally:
        module.torch_compilable_check = check
