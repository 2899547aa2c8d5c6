"""Answers that obey a JSON schema: tokens that would break it are never chosen (xgrammar)."""

import functools
import re
from collections.abc import Sequence

import torch
import xgrammar

from ipcir_steps.imagine.llm.decoding import Row


class Grammars:
    """Compiled grammars for one tokenizer. size: entries of the model's output."""

    def __init__(self, tokenizer, size: int):
        self.tokenizer, self.size = tokenizer, size
        tokens = tokenizer.convert_ids_to_tokens(range(min(len(tokenizer), size)))
        tokens += [None] * (size - len(tokens))
        # Of each token, whether it begins by closing a JSON text, list or object.
        self.closing = torch.tensor([bool(token) and token[0] in '"]}' for token in tokens])

    @functools.cached_property
    def _compiler(self):
        info = xgrammar.TokenizerInfo.from_huggingface(self.tokenizer, vocab_size=self.size)
        # Its cache fails on patterns that repeat more than 128 times (xgrammar 0.2.8).
        return xgrammar.GrammarCompiler(info, cache_enabled=False)

    @functools.lru_cache(maxsize=4)  # noqa: B019  (lives as long as its step)
    def compile(self, schema: str) -> xgrammar.CompiledGrammar:
        """The grammar of a JSON schema given as JSON text."""
        return self._compiler.compile_grammar(xgrammar.Grammar.from_ebnf(ebnf(schema)))

    def forced(self, matcher: xgrammar.GrammarMatcher) -> list[int]:
        """Tokens of the text that the grammar leaves no choice about; the matcher has accepted them."""
        tokens = []
        for token in self.tokenizer(matcher.find_jump_forward_string(), add_special_tokens=False)["input_ids"]:
            if not matcher.accept_token(token):
                break
            tokens.append(token)
        return tokens


class ConstrainedRow(Row):
    """Writes under a grammar; after ``limit`` tokens it closes what is open, so that the answer is whole."""

    def __init__(self, prompt: Sequence[int], seed: int, limit: int, grammars: Grammars, schema: str):
        super().__init__(prompt, seed, limit, frozenset())
        self.grammars = grammars
        self.matcher = xgrammar.GrammarMatcher(grammars.compile(schema), terminate_without_stop_token=True)
        self.bits = xgrammar.allocate_token_bitmask(1, grammars.size)

    def allow(self, logits: torch.Tensor) -> None:
        self.matcher.fill_next_token_bitmask(self.bits)
        xgrammar.apply_token_bitmask_inplace(logits[None], self.bits.to(logits.device))
        if len(self.written) >= self.limit:
            closing = self.grammars.closing.to(logits.device)
            if (logits[closing] > -torch.inf).any():
                logits[~closing] = -torch.inf

    def take(self, token: int) -> None:
        self.matcher.accept_token(token)
        self.pending = [token]
        self.done = self.matcher.is_terminated()
        if not self.done:
            self.pending += self.grammars.forced(self.matcher)
            self.done = self.matcher.is_terminated()
        self.written += self.pending


@functools.lru_cache(maxsize=4)
def ebnf(schema: str) -> str:
    """The EBNF grammar of a JSON schema given as JSON text, without optional spaces."""
    return shortest_numbers(str(xgrammar.Grammar.from_json_schema(schema, any_whitespace=False)))


def shortest_numbers(grammar: str) -> str:
    """An EBNF grammar whose literal numbers are as short as their values allow: xgrammar writes 17 digits of each.

    >>> shortest_numbers('root ::= (("0.050000000000000003") | ("1"))')
    'root ::= (("0.05") | ("1"))'
    """
    return re.sub(r'\("(-?\d+\.\d{15,})"\)', lambda match: f'("{float(match[1])!r}")', grammar)
