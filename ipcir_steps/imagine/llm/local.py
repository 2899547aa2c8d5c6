"""A chat model on this machine, through transformers: plain, quantised, or a GGUF file."""

import contextlib
import functools
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

from ipcir_steps.config.language import LLM
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.devices import loaded, placement, quiet
from ipcir_steps.core.errors import ModelError, StepFailure
from ipcir_steps.core.files import digest, dumps, seed
from ipcir_steps.core.journal import batches
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.llm import Group
from ipcir_steps.imagine.llm.decoding import Decoder, Row, common


class Local:
    """Backend over a causal language model with a chat template.

    The answers of ``settings.batch_size`` queries are decoded side by side, ``batch_size`` at a time, each from its own
    seed; with a schema under a grammar (xgrammar).
    """

    together = True

    def __init__(self, settings: LLM, cache: Cache, model: str | Path):
        manifest = load_manifest(model)
        self.settings, self.cache, self.tokens, self.width = settings, cache, 0, settings.batch_size
        how = [settings.temperature, settings.top_p, settings.max_new_tokens, settings.dtype, settings.batch_size]
        self.digest = digest([manifest.digest, *how])
        self._open = functools.partial(_load, Path(manifest.path), settings)

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

    def answer(self, groups: Sequence[Group]) -> list[list[str] | StepFailure]:
        """All groups are decoded as soon as one is not in the cache, so that batches are the same in every run."""
        keys = [[self.digest, digest([group.conversations, group.schema]), group.seed] for group in groups]
        known = [self.cache.get(key) for key in keys]
        if all(answers is not None for answers in known):
            return known
        made = self._decode(groups)
        for number, key in enumerate(keys):
            if known[number] is None:
                known[number] = made[number]
                self.cache.put(key, known[number])
        return known

    def _decode(self, groups: Sequence[Group]) -> list[list[str]]:
        """Answers of all groups. Neighbours in length share a batch, which keeps padding short."""
        _, tokenizer = self.loaded
        rows = [[self._row(c, seed(group.seed, n), group.schema) for n, c in enumerate(group.conversations)]
                for group in groups]  # fmt: skip
        order = sorted((row for group in rows for row in group), key=lambda row: len(row.prompt))
        start = common([*self._probes(groups), *(row.prompt for row in order)]) if order else []
        for batch in batches(order, self.settings.batch_size):
            self.decoder.run(batch, start)
            self.tokens += sum(len(row.written) for row in batch)
        return [[tokenizer.decode(row.written, skip_special_tokens=True) for row in group] for group in rows]

    def _row(self, conversation: list[dict], row_seed: int, schema: dict | None) -> Row:
        model, tokenizer = self.loaded
        prompt = self._tokens(conversation)
        if schema is None:
            ends = model.generation_config.eos_token_id
            ends = frozenset({*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None})
            return Row(prompt, row_seed, self.settings.max_new_tokens, ends)
        from ipcir_steps.imagine.llm.grammar import ConstrainedRow

        return ConstrainedRow(prompt, row_seed, self.settings.max_new_tokens, self.grammars, dumps(schema))

    def _tokens(self, conversation: list[dict]) -> list[int]:
        _, tokenizer = self.loaded
        text = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def _probes(self, groups: Sequence[Group]) -> list[list[int]]:
        """The first prompt with other last messages: what prompts have in common then ends before the last message,
        whatever the queries of a batch share by chance, and is computed once per step."""
        *before, last = next(c for group in groups for c in group.conversations)
        return [self._tokens([*before, {**last, "content": text}]) for text in ("0", "~")]


def _load(path: Path, settings: LLM):
    """Raises ModelError naming the path when it holds no causal language model with a chat template."""
    quiet()
    device, dtype = placement(settings.device, settings.dtype)
    # Quantised weights must be loaded where they stay; "auto" spreads a large model over all GPUs.
    spread = (
        {"device_map": settings.device if settings.device == "auto" else {"": device}} if device.type != "cpu" else {}
    )
    source = {"pretrained_model_name_or_path": str(path), "local_files_only": True}
    if path.suffix == ".gguf":
        source = {**source, "pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    # The GGUF reader draws its bar without asking whether anybody watches.
    bars = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with warnings.catch_warnings(), bars:
            warnings.simplefilter("ignore")
            tokenizer = AutoTokenizer.from_pretrained(**source, padding_side="left")
            model = AutoModelForCausalLM.from_pretrained(**source, dtype=dtype, **spread).eval()
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        raise ModelError(f"{path}: no causal language model could be loaded ({error})") from error
    loaded("language model", path)
    if tokenizer.chat_template is None:
        raise ModelError(f"{path}: its tokenizer has no chat template. Use a chat (instruct) model.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer
