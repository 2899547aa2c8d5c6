"""Many answers decoded side by side by one transformers model, each from its own seed and, where wanted, a grammar.

Prompts are padded on the left. What all prompts begin with (instructions and examples) is computed once. Rows leave the
batch as they end. A row's answer depends on its own prompt and seed, up to the rounding of sums whose order depends on
the shape of the batch: who always decodes the same batches gets the same answers.
"""

import copy
import inspect
from collections.abc import Sequence

import torch

from ipcir_steps.core.errors import ModelError

FIRST = 64  # most probable tokens that are sorted at first: nearly always the whole nucleus


class Row:
    """One answer being written. prompt: token ids; pending: chosen tokens that the model has not read yet; seen: what
    the model gets with the prompt where that shows a picture, tensors by name."""

    seen: dict[str, torch.Tensor] | None = None

    def __init__(self, prompt: Sequence[int], seed: int, limit: int, stop: frozenset[int]):
        self.prompt, self.limit, self.stop = list(prompt), limit, stop
        self.generator = torch.Generator().manual_seed(seed)
        self.written: list[int] = []
        self.pending: list[int] = []
        self.done = False

    def allow(self, logits: torch.Tensor) -> None:
        """Set the logits [V] of tokens that may not follow to -inf."""

    def take(self, token: int) -> None:
        """Append the chosen token."""
        self.done = token in self.stop
        if not self.done:
            self.written.append(token)
            self.pending = [token]
            self.done = len(self.written) >= self.limit


class Decoder:
    """Decodes rows with a causal language model. temperature 0 is greedy; top_p: probability mass that is kept."""

    def __init__(self, model, temperature: float, top_p: float, pad: int):
        self.model, self.temperature, self.top_p, self.pad = model, temperature, top_p, pad
        accepted = inspect.signature(model.forward).parameters
        self._positions, self._last = "position_ids" in accepted, "logits_to_keep" in accepted
        self._prefix: tuple[tuple, object, int] = ((), None, 0)
        self._shift = 0  # of positions after a picture, whose tokens may share one

    @torch.inference_mode()
    def run(self, rows: Sequence[Row], prefix: Sequence[int] = ()) -> None:
        """Write every row to its end. prefix: tokens that all prompts begin with, to be computed once.

        Rows that have ``seen`` a picture have seen the same, in the prefix; where the model's cache cannot be shared,
        they are written one after the other.
        """
        seen = rows[0].seen
        prefix, past = self._shared(prefix, len(rows), seen)
        if seen is not None and past is None:
            for row in rows:
                self._write([row], [row.prompt], torch.ones(1, len(row.prompt), dtype=torch.long), None, row.seen)
            return
        prompts = [row.prompt[len(prefix) :] for row in rows]
        longest = max(map(len, prompts))
        gaps = [longest - len(prompt) for prompt in prompts]
        tokens = [[self.pad] * gap + prompt for gap, prompt in zip(gaps, prompts, strict=True)]
        mask = torch.tensor([[1] * len(prefix) + [0] * gap + [1] * (longest - gap) for gap in gaps])
        self._write(list(rows), tokens, mask, past)

    def _write(self, rows: list[Row], tokens: list[list[int]], mask: torch.Tensor, past, seen=None) -> None:
        while rows:
            logits, past = self._forward(tokens, mask, past, seen)
            seen = None
            self._choose([(row, line) for row, line in zip(rows, logits, strict=True) if not row.pending])
            left = [n for n, row in enumerate(rows) if not row.done]
            if len(left) < len(rows):
                rows, mask = [rows[n] for n in left], mask[left]
                past.batch_select_indices(torch.tensor(left, dtype=torch.long, device=self.model.device))
            if rows:
                width = min(len(row.pending) for row in rows)  # text that a grammar forces needs no choice
                tokens = [row.pending[:width] for row in rows]
                for row in rows:
                    del row.pending[:width]
                mask = torch.cat([mask, mask.new_ones(len(rows), width)], dim=1)

    def _shared(self, prefix: Sequence[int], count: int, seen: dict | None):
        """(prefix, its cache for ``count`` rows); ([], None) where the model's cache cannot be shared like that."""
        prefix = tuple(prefix)
        known = (prefix, id(seen) if seen else None)
        if prefix and known != self._prefix[0]:
            mask = torch.ones(1, len(prefix), dtype=torch.long)
            _, past = self._forward([list(prefix)], mask, None, seen)
            plain = all(type(layer).__name__ == "DynamicLayer" for layer in past.layers)
            self._prefix = (known, past if plain else None, self._shift)
        if not prefix or self._prefix[1] is None:
            return [], None
        past, self._shift = copy.deepcopy(self._prefix[1]), self._prefix[2]
        past.batch_repeat_interleave(count)
        return prefix, past

    def _forward(self, tokens: list[list[int]], mask: torch.Tensor, past, seen: dict | None = None):
        """(logits of the last position [B, V], cache). mask [B, P + T]: 1 where a token stands, padding is 0.

        seen: the picture, with the first tokens of a prompt; the model then counts positions itself.
        """
        device, width = self.model.device, len(tokens[0])
        inputs = {"input_ids": torch.tensor(tokens, device=device), "attention_mask": mask.to(device)}
        if seen is not None:
            inputs |= self._picture(seen, width)
        elif self._positions:
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -width:]
            inputs["position_ids"] = (positions + self._shift).to(device)
        if self._last:
            inputs["logits_to_keep"] = 1
        output = self.model(**inputs, past_key_values=past, use_cache=True)
        if seen is not None:
            shift = getattr(getattr(self.model, "model", None), "rope_deltas", None)  # Qwen's vision-language models
            self._shift = 0 if shift is None else int(shift)
        return output.logits[:, -1].float(), output.past_key_values

    def _picture(self, seen: dict, width: int) -> dict:
        """``seen`` without the tokens; what it has for each of them, for the first ``width``."""
        shape = seen["input_ids"].shape
        cut = {name: value[:, :width] if value.shape == shape else value for name, value in seen.items()}
        return {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in cut.items()
            if name not in ("input_ids", "attention_mask")
        }

    def _choose(self, choices: list[tuple[Row, torch.Tensor]]) -> None:
        if not choices:
            return
        logits = torch.stack([line for _, line in choices])
        if logits.isnan().any():
            kind = str(self.model.dtype).removeprefix("torch.")
            raise ModelError(f"the language model gives no numbers in {kind}. Set dtype to bfloat16 or float32.")
        for (row, _), line in zip(choices, logits, strict=True):
            row.allow(line)
        if self.temperature == 0:
            chosen = logits.argmax(-1).tolist()
        else:
            points = [float(torch.rand((), generator=row.generator, dtype=torch.float64)) for row, _ in choices]
            chosen = sample(logits / self.temperature, self.top_p, points)
        for (row, _), token in zip(choices, chosen, strict=True):
            row.take(token)


def sample(logits: torch.Tensor, top_p: float, points: Sequence[float]) -> list[int]:
    """Per row of ``logits`` [B, V], the token at ``points[b]`` (0 to 1) of its nucleus, the fewest most probable tokens
    that hold ``top_p`` of the probability.

    >>> sample(torch.tensor([[0.5, 0.2, 0.3]] * 3).log(), 0.7, [0.0, 0.6, 0.7])
    [0, 0, 2]
    """
    probabilities = logits.softmax(-1)
    best, tokens = probabilities.topk(min(FIRST, logits.shape[-1]))
    best, tokens = best.double().cpu(), tokens.cpu()
    chosen = []
    for row, point in enumerate(points):
        values, names = best[row], tokens[row]
        if values.sum() < top_p and len(values) < logits.shape[-1]:
            values, names = probabilities[row].cpu().sort(descending=True, stable=True)
            values = values.double()
        sums = values.cumsum(0)
        last = min(int((sums < top_p).sum()), len(sums) - 1)
        place = int(torch.searchsorted(sums[: last + 1], point * sums[last], right=True))
        chosen.append(int(names[min(place, last)]))
    return chosen
