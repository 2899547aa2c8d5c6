"""A chat model on this machine, through transformers: plain, quantised, or a GGUF file."""

import contextlib
import functools
import importlib.util
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from ipcir_steps.config.language import LLM
from ipcir_steps.core.devices import loaded, placement, quiet
from ipcir_steps.core.errors import IPCIRError, ModelError
from ipcir_steps.core.files import dumps, read_json
from ipcir_steps.core.journal import batches
from ipcir_steps.imagine.llm.batched import Request
from ipcir_steps.imagine.llm.decoding import Decoder, Row
from ipcir_steps.imagine.llm.prefix import shared_start


class Local:
    """Engine over a causal language model with a chat template: ``size`` answers side by side.

    With a schema each is decoded under a grammar (xgrammar).
    """

    def __init__(self, settings: LLM, path: Path, size: int):
        self.settings, self.size, self.tokens = settings, size, 0
        self._open = functools.partial(_load, path, settings)

    @functools.cached_property
    def loaded(self):
        """(model, tokenizer), loaded when the first answer is not in the cache."""
        return self._open()

    def share(self, other: "Local") -> None:
        """Use the weights of a backend of the same model, device and number format, once it has loaded them."""
        self._open = lambda: other.loaded

    @functools.cached_property
    def decoder(self) -> Decoder:
        model, tokenizer = self.loaded
        return Decoder(model, self.settings.temperature, self.settings.top_p, tokenizer.pad_token_id)

    @functools.cached_property
    def grammars(self):
        from ipcir_steps.imagine.llm.grammar import Grammars

        model, tokenizer = self.loaded
        return Grammars(tokenizer, model.config.get_text_config().vocab_size)

    def decode(self, requests: Sequence[Request]) -> list[str]:
        """Answers in order. Neighbours in length share a batch, which keeps padding short."""
        if not requests:
            return []
        _, tokenizer = self.loaded
        rows = [self._row(request, self._tokens(request.conversation)) for request in requests]
        start = shared_start(requests[0].conversation, [row.prompt for row in rows], self._tokens)
        for batch in batches(sorted(rows, key=lambda row: len(row.prompt)), self.size):
            self.decoder.run(batch, start)
            self.tokens += sum(len(row.written) for row in batch)
        return [tokenizer.decode(row.written, skip_special_tokens=True) for row in rows]

    def _row(self, request: Request, prompt: list[int]) -> Row:
        model, tokenizer = self.loaded
        limit = self.settings.max_new_tokens
        if request.schema is None:
            ends = model.generation_config.eos_token_id
            ends = frozenset({*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None})
            return Row(prompt, request.seed, limit, ends)
        from ipcir_steps.imagine.llm.grammar import ConstrainedRow

        return ConstrainedRow(prompt, request.seed, limit, self.grammars, dumps(request.schema))

    def _tokens(self, conversation: list[dict]) -> list[int]:
        _, tokenizer = self.loaded
        text = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        return tokenizer(text, add_special_tokens=False)["input_ids"]


def _load(path: Path, settings: LLM):
    """Raises ModelError naming the path when it holds no causal language model with a chat template."""
    quiet()
    device, dtype = placement(settings.device, settings.dtype)
    source = {"pretrained_model_name_or_path": str(path), "local_files_only": True}
    if path.suffix == ".gguf":
        source = {**source, "pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    # The GGUF reader draws its bar without asking whether anybody watches.
    bars = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with warnings.catch_warnings(), bars:
            warnings.simplefilter("ignore")
            tokenizer = AutoTokenizer.from_pretrained(**source, padding_side="left")
            model = AutoModelForCausalLM.from_pretrained(**source, dtype=dtype, **where(settings, device)).eval()
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        raise ModelError(f"{path}: no causal language model could be loaded ({error}){quantised(path)}") from error
    loaded("language model", path)
    if tokenizer.chat_template is None:
        raise ModelError(f"{path}: its tokenizer has no chat template. Use a chat (instruct) model.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def where(settings: LLM, device) -> dict:
    """Options of ``from_pretrained`` that load a model onto its torch device: quantised weights must be loaded where
    they stay. ``auto`` spreads a large model over all GPUs."""
    if device.type == "cpu":
        return {}
    return {"device_map": "auto" if settings.device == "auto" else {"": device}}


def quantised(path: Path) -> str:
    """What to install for weights that are stored as GPTQ or AWQ; "" for others, and where it is installed."""
    try:
        method = read_json(path / "config.json")["quantization_config"]["quant_method"]
    except (IPCIRError, LookupError, TypeError):
        return ""
    readers = {"gptq": ("optimum", "gptqmodel"), "awq": ("gptqmodel",)}.get(method, ())
    if all(importlib.util.find_spec(package) for package in readers):
        return ""
    return (
        f". Its weights are quantised ({method}): pip install 'ipcir[quantised]', or ask it through"
        " backend: vllm, which reads them itself"
    )
