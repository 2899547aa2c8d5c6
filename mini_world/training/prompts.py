"""The prompts that the drawing models learn, as tokens of the few words there are."""

import dataclasses
import functools
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from ipcir_steps.config.generation import Proxies
from mini_world import diffusion, garments, tokenizers, world
from mini_world.training.lessons import layout
from mini_world.training.pool import Picture, pairs

NEGATIVE = ("", Proxies().negative_prompt)
FORGET = 0.02  # share of the words that are replaced by the token of unknown words


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What a picture is drawn from: its scene, and the description and box of each instance."""

    scene: str
    descriptions: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    captions: tuple[str, ...]


def sheet(picture: Picture) -> Sheet:
    plan = layout(picture, picture)
    described = tuple(instance["description"] for instance in plan["instances"])
    if isinstance(picture, garments.Garment):
        captions = (garments.describe(picture),)
    else:
        captions = tuple(world.describe(picture, n) for n in range(len(world.TEMPLATES)))
    joined = ", ".join([plan["scene"], *described])  # as the text-to-image generator asks
    boxes = tuple(tuple(instance["box"]) for instance in plan["instances"])
    return Sheet(plan["scene"], described, boxes, (joined, *captions))


@functools.lru_cache(maxsize=2)
def sheets(seed: int, count: int) -> list[Sheet]:
    """Of the second picture of each of ``count`` pairs."""
    return [sheet(second) for _, second, _ in pairs(seed, count)]


class Prompts:
    """Prompts to tokens and states. vocabulary: CLIP's ids of all words that occur; the token after them stands for all
    other words.
    """

    def __init__(self, seed: int):
        with tempfile.TemporaryDirectory() as directory:
            tokenizers.clip(Path(directory), diffusion.LENGTH)
            from transformers import CLIPTokenizer

            self.tokenizer = CLIPTokenizer.from_pretrained(directory, local_files_only=True)
        nouns = (*world.SHAPES, *garments.NOUNS.values())
        texts = [*NEGATIVE, *(f"a * {noun}" for noun in nouns)]
        for one in sheets(seed, 2000):
            texts += [one.scene, *one.descriptions, *one.captions]
        self.vocabulary = sorted({i for ids in self.tokenizer(sorted(set(texts))).input_ids for i in ids})
        self._places = {token: place for place, token in enumerate(self.vocabulary)}
        self.tokens = functools.lru_cache(maxsize=20_000)(self._tokens)

    def _tokens(self, prompt: str) -> tuple[list[int], int]:
        """Places in the vocabulary, padded to the longest prompt, and the index of the end token."""
        ids = self.tokenizer(prompt, padding="max_length", truncation=True).input_ids
        return [self._places.get(i, len(self.vocabulary)) for i in ids], ids.index(self.tokenizer.eos_token_id)

    def encode(self, text: nn.Module, prompts: list[str], generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """States [U, tokens, D] and those at the end tokens [U, D]. With a generator, a few words are forgotten."""
        tokens, ends = zip(*(self.tokens(prompt) for prompt in prompts), strict=True)
        tokens, ends = torch.tensor(tokens), torch.tensor(ends)
        if generator is not None:
            forget = torch.rand(tokens.shape, generator=generator) < FORGET
            place = torch.arange(tokens.shape[1])
            inner = (place > 0) & (place < ends[:, None])
            tokens = tokens.masked_fill(forget & inner, len(self.vocabulary))
        states = text(tokens).last_hidden_state
        return states, states[torch.arange(len(ends)), ends]

    def caption(self, one: Sheet, generator: torch.Generator) -> str:
        """Half of the time as the text-to-image generator asks, else one of the templates."""
        if torch.rand((), generator=generator) < 0.5:
            return one.captions[0]
        return one.captions[1 + int(torch.randint(len(one.captions) - 1, (), generator=generator))]

    def negative(self, generator: torch.Generator) -> str:
        return NEGATIVE[int(torch.randint(len(NEGATIVE), (), generator=generator))]
