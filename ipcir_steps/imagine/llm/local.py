"""A chat model on this machine, through transformers: plain, quantised, or a GGUF file."""

import contextlib
import functools
import io
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessorList
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from ipcir_steps.config.language import LLM
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.devices import placement, quiet
from ipcir_steps.core.errors import ModelError, StepFailure
from ipcir_steps.core.files import digest, dumps
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.llm import Group


class Local:
    """Backend over a causal language model with a chat template.

    The conversations of a group share a batch, padded on the left, under one seed. With a schema each
    is decoded alone under a grammar (xgrammar); text that the grammar forces costs no step.
    """

    width = 1

    def __init__(self, settings: LLM, cache: Cache, model: str | Path):
        manifest = load_manifest(model)
        self.settings, self.cache, self.tokens = settings, cache, 0
        sampling = [settings.temperature, settings.top_p, settings.max_new_tokens, settings.dtype]
        self.digest = digest([manifest.digest, *sampling])
        self._open = functools.partial(_load, Path(manifest.path), settings)

    @functools.cached_property
    def loaded(self):
        """(model, tokenizer), loaded when the first answer is not in the cache."""
        return self._open()

    @functools.cached_property
    def closing(self) -> torch.Tensor:
        """Of each token [V], whether it begins by closing a JSON text, list or object."""
        model, tokenizer = self.loaded
        tokens = tokenizer.convert_ids_to_tokens(range(min(len(tokenizer), model.config.vocab_size)))
        tokens += [None] * (model.config.vocab_size - len(tokens))
        return torch.tensor([bool(token) and token[0] in '"]}' for token in tokens])

    def answer(self, groups: Sequence[Group]) -> list[list[str] | StepFailure]:
        return [self._group(group) for group in groups]

    def _group(self, group: Group) -> list[str]:
        key = [self.digest, digest([group.conversations, group.schema]), group.seed]
        answers = self.cache.get(key)
        if answers is None:
            if group.schema is None:
                answers = self._sample(group)
            else:
                answers = [self._decode(c, group.seed + i, group.schema) for i, c in enumerate(group.conversations)]
            self.cache.put(key, answers)
        return answers

    def _prompts(self, conversations) -> list[str]:
        _, tokenizer = self.loaded
        return [tokenizer.apply_chat_template(c, add_generation_prompt=True, tokenize=False) for c in conversations]

    @torch.inference_mode()
    def _sample(self, group: Group) -> list[str]:
        model, tokenizer = self.loaded
        prompts = self._prompts(group.conversations)
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
        inputs.pop("token_type_ids", None)
        sampling = {"do_sample": False}
        if self.settings.temperature > 0:
            sampling = {"do_sample": True, "temperature": self.settings.temperature, "top_p": self.settings.top_p}
        config = GenerationConfig(
            **sampling,
            top_k=0,
            max_new_tokens=self.settings.max_new_tokens,
            eos_token_id=model.generation_config.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        with torch.random.fork_rng():
            torch.manual_seed(group.seed)
            output = model.generate(**inputs, generation_config=config)
        output = output[:, inputs["input_ids"].shape[1] :]
        self.tokens += output.numel()
        return tokenizer.batch_decode(output, skip_special_tokens=True)

    @torch.inference_mode()
    def _decode(self, conversation, seed: int, schema: dict) -> str:
        """Sample under the grammar of ``schema``; after max_new_tokens, close what is open: the answer is whole."""
        import xgrammar

        model, tokenizer = self.loaded
        grammar = self._grammar(dumps(schema))
        matcher = xgrammar.GrammarMatcher(grammar, terminate_without_stop_token=True)
        allowed = xgrammar.allocate_token_bitmask(1, model.config.vocab_size)
        generator = torch.Generator().manual_seed(seed)
        prompt = tokenizer(self._prompts([conversation])[0], add_special_tokens=False)["input_ids"]
        new, written, past = prompt, [], None
        while True:
            tokens = torch.tensor([new], device=model.device)
            output = model(input_ids=tokens, past_key_values=past, use_cache=True, logits_to_keep=1)
            past = output.past_key_values
            logits = output.logits[:, -1].float().cpu()
            matcher.fill_next_token_bitmask(allowed)
            xgrammar.apply_token_bitmask_inplace(logits, allowed)
            if len(written) >= self.settings.max_new_tokens and (logits[:, self.closing] > -torch.inf).any():
                logits[:, ~self.closing] = -torch.inf
            token = self._choose(logits, generator)
            matcher.accept_token(token)
            new = [token]
            if not matcher.is_terminated():
                for forced in tokenizer(matcher.find_jump_forward_string(), add_special_tokens=False)["input_ids"]:
                    if not matcher.accept_token(forced):
                        break
                    new.append(forced)
            written += new
            if matcher.is_terminated():
                self.tokens += len(written)
                return tokenizer.decode(written, skip_special_tokens=True)

    def _choose(self, logits: torch.Tensor, generator: torch.Generator) -> int:
        if self.settings.temperature == 0:
            return int(logits.argmax())
        warp = LogitsProcessorList([TemperatureLogitsWarper(self.settings.temperature)])
        if self.settings.top_p < 1:
            warp.append(TopPLogitsWarper(self.settings.top_p))
        return int(torch.multinomial(warp(None, logits).softmax(-1), 1, generator=generator))

    @functools.lru_cache(maxsize=4)  # noqa: B019  (a backend lives as long as its step)
    def _grammar(self, schema: str):
        import xgrammar

        model, tokenizer = self.loaded
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=model.config.vocab_size)
        # Its cache fails on patterns that repeat more than 128 times (xgrammar 0.2.8).
        compiler = xgrammar.GrammarCompiler(info, cache_enabled=False)
        grammar = xgrammar.Grammar.from_json_schema(schema, any_whitespace=False)
        return compiler.compile_grammar(xgrammar.Grammar.from_ebnf(shortest_numbers(str(grammar))))


def shortest_numbers(grammar: str) -> str:
    """An EBNF grammar whose literal numbers are as short as their values allow: xgrammar writes 17 digits of each.

    >>> shortest_numbers('root ::= (("0.050000000000000003") | ("1"))')
    'root ::= (("0.05") | ("1"))'
    """
    return re.sub(r'\("(-?\d+\.\d{15,})"\)', lambda match: f'("{float(match[1])!r}")', grammar)


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
    if tokenizer.chat_template is None:
        raise ModelError(f"{path}: its tokenizer has no chat template. Use a chat (instruct) model.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer
