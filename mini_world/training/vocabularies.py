"""Vocabularies of the tiny tokenizers, learned from the mini world's sentences.

The shipped weights belong to the shipped ones, so they are learned again only together with the models of text:

    python -m mini_world.training.vocabularies mini_world/weights/vocabularies.json
"""

import json
import random
import sys
from pathlib import Path

from ipcir_steps.core.files import write_json
from ipcir_steps.imagine.llm.prompts import load_prompt
from mini_world import garments, world
from mini_world.training import lessons, pool

PROMPTS = ("mini_reasoning", "mini_layouts")  # ipcir_steps/prompts, made for the mini world's chat model


def sentences(count: int = 2000) -> list[str]:
    """Captions and edits of scenes and garments; the same for every seed."""
    rng = random.Random(0)
    texts = []
    for number in range(count):
        scene = world.random_scene(rng)
        garment = garments.random_garment(rng, garments.KINDS[number % 3])
        texts += [world.describe(scene, t) for t in range(len(world.TEMPLATES))]
        texts += [world.random_edit(scene, rng).caption, garments.describe(garment)]
        texts += garments.random_edit(garment, rng)[1]
    return texts


def conversations(count: int = 2000) -> list[str]:
    """What the chat model reads and writes: the prompts made for it, captions, edits and the JSON of layouts."""
    rng = random.Random(1)
    texts = [content for name in PROMPTS for _, content in load_prompt(name).messages]
    for _ in range(count):
        reference, target, captions = pool.pair(rng)
        texts += [pool.describe(reference, rng.randrange(len(world.TEMPLATES))), " and ".join(captions)]
        texts += lessons.answer(target, reference)
    return sentences(count) + texts


def byte_level_bpe(
    texts: list[str], size: int, split: str | None = None
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(vocabulary, merges) of a byte-level BPE learned from texts that can write any text.

    size: most entries. split: regular expression of words.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    steps = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)]
    if split:
        steps.insert(0, pre_tokenizers.Split(Regex(split), behavior="isolated"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def learn() -> dict:
    """{"qwen", "opt": {"vocabulary": tokens by id, "merges"}, "words": of Grounding DINO's text model}."""
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    learned = {
        "qwen": byte_level_bpe(conversations(), 1200, PRETOKENIZE_REGEX),
        "opt": byte_level_bpe(sentences(), 800),
    }
    words = sorted({w for text in sentences(300) for w in text.split() if w.isalpha() and len(w) > 1})
    entries = {
        name: {"vocabulary": sorted(ids, key=ids.get), "merges": [" ".join(merge) for merge in merges]}
        for name, (ids, merges) in learned.items()
    }
    return entries | {"words": words}


if __name__ == "__main__":
    write_json(Path(sys.argv[1]), learn())
