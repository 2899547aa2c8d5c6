"""A chat model that is shown pictures: the odds of yes against no, and answers under a schema."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ipcir_steps.config.verification import Chat
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import dumps
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.verify.pictures import Images, messages
from ipcir_steps.verify.words import NO, YES, telling_tokens

TOP = 20  # likeliest first tokens that a server is asked for; the most that OpenAI's interface gives
ROUNDED, LEAST = 1e-6, 1e-12  # what rounded probabilities may leave by mistake; the lowest that counts


class Engine(Protocol):
    """identity: JSON value that tells model and settings from others. side_by_side: requests under way together."""

    identity: list
    side_by_side: int

    def odds(self, pictures: Images, text: str) -> float:
        """ln p(yes) - ln p(no) of the first token. Raises StepFailure where there is none."""

    def answer(self, pictures: Images, text: str, schema: dict) -> str:
        """The likeliest answer under a JSON schema. Raises StepFailure where there is none."""


def open_chat(settings: Chat, manifest: Manifest | None) -> Engine:
    """manifest: None for a server that somebody else runs. Models are loaded, and servers started, when first asked."""
    if settings.remote:
        from ipcir_steps.imagine.llm.server import Server

        return Remote(settings, Server(settings, Cache(None)), [settings.served_model])
    if settings.served:
        from ipcir_steps.imagine.llm.served import Served

        server = Served(settings.model_copy(update={"server": True}), Cache(None), manifest)
        return Remote(settings, server, [settings.backend, manifest.digest, settings.context_length, settings.engine])
    if settings.backend == "vllm":
        from ipcir_steps.verify.chat_vllm import InProcess

        return InProcess(settings, manifest)
    return Local(settings, manifest)


class Remote:
    """Over an OpenAI-compatible server that takes images and gives log-probabilities: vLLM, SGLang, a hosted one."""

    def __init__(self, settings: Chat, server, identity: list):
        self._server, self.side_by_side = server, settings.concurrency
        self.identity = ["server", *identity, settings.response_format]
        self._longest = settings.max_new_tokens

    def odds(self, pictures: Images, text: str) -> float:
        body = {"messages": messages(pictures, text), "max_tokens": 1, "temperature": 0, "logprobs": True}
        return told_odds(self._server.ask({**body, "top_logprobs": TOP}, first_token_of))

    def answer(self, pictures: Images, text: str, schema: dict) -> str:
        body = {"messages": messages(pictures, text), "max_tokens": self._longest, "temperature": 0}
        return self._server.ask({**body, **self._server.format(schema)})


def first_token_of(answer: dict) -> dict[str, float]:
    """{token: natural log-probability} of the likeliest first tokens. Raises what ``Server.ask`` asks again for."""
    found: dict[str, float] = {}
    for entry in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
        value = float(entry["logprob"])
        if math.isnan(value) or value > 1e-3:
            raise ValueError("no log-probability")
        found[str(entry["token"])] = value
    if not found:
        raise ValueError("no tokens")
    return found


def told_odds(tokens: Mapping[str, float]) -> float:
    """Log-odds of yes against no from the likeliest tokens, each word in any case and with spaces around it.

    A word that is not among them is at most as likely as the last of them, and as all that they leave, which is then
    taken. Raises StepFailure when neither is among them.

    >>> round(told_odds({"Yes": math.log(0.6), " yes": math.log(0.2), "No": math.log(0.1)}), 3) == round(math.log(8), 3)
    True
    """
    likely = {token: math.exp(value) for token, value in tokens.items()}
    sides = [math.fsum(p for token, p in likely.items() if token.strip().lower() == word) for word in (YES, NO)]
    if not any(sides):
        raise StepFailure(f"the answer begins with neither {YES} nor {NO}")
    left = max(1 - math.fsum(likely.values()), ROUNDED)
    least = max(min(left, *likely.values()), LEAST)
    yes, no = (math.log(side or least) for side in sides)
    return yes - no


class Local:
    """An image-text model of transformers with a chat template. One request at a time, so that no answer depends on
    another."""

    side_by_side = 1

    def __init__(self, settings: Chat, manifest: Manifest):
        self._settings, self._path = settings, Path(manifest.path)
        self.identity = ["transformers", manifest.digest, settings.dtype, settings.max_new_tokens]

    @functools.cached_property
    def _seeing(self):
        from ipcir_steps.imagine.llm.seeing import Seeing

        return Seeing(self._settings, self._path, 1)

    @functools.cached_property
    def _words(self) -> dict[str, list[int]]:
        _, tokenizer = self._seeing.loaded
        return telling_tokens(tokenizer, self._path)

    def odds(self, pictures: Images, text: str) -> float:
        import torch

        model, _ = self._seeing.read
        with torch.inference_mode():
            logits = model(**self._inputs(pictures, text)).logits[0, -1].double()
        return float(logits[self._words[YES]].logsumexp(0) - logits[self._words[NO]].logsumexp(0))

    def answer(self, pictures: Images, text: str, schema: dict) -> str:
        import torch
        from xgrammar.contrib.hf import LogitsProcessor

        model, processor = self._seeing.read
        inputs = self._inputs(pictures, text)
        rules = LogitsProcessor(self._seeing.grammars.compile(dumps(schema)))
        with torch.inference_mode():
            output = model.generate(
                **inputs, do_sample=False, max_new_tokens=self._settings.max_new_tokens, logits_processor=[rules]
            )
        return processor.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def _inputs(self, pictures: Images, text: str) -> dict:
        model, processor = self._seeing.read
        content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": text}]
        asked = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        inputs = processor(text=[asked], images=[list(pictures)], return_tensors="pt", add_special_tokens=False)
        return dict(inputs.to(model.device, model.dtype))
