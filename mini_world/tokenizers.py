"""Tokenizers of the tiny models, built from the mini world's own sentences: no file is fetched."""

import json
import random
import string
from pathlib import Path

from ipcir_steps.imagine.layouts.schema import GRID
from ipcir_steps.imagine.llm.prompts import load_prompt
from mini_world import garments, world

# The chat format of Qwen (ChatML): a default system message, then one block per message.
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
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
    from mini_world.training import lessons, pool

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


def write_bpe(directory: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    """vocab.json and merges.txt, as published checkpoints have them."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(vocabulary, ensure_ascii=False)
    (directory / "vocab.json").write_text(text, encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def clip(directory: Path, length: int = 77) -> None:
    """The CLIP tokenizer (49,408 entries) from the merges that open_clip ships. length: longest prompt, in tokens."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    published = SimpleTokenizer()
    vocabulary = dict(published.encoder)
    vocabulary = {
        {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}.get(t, t): i
        for t, i in vocabulary.items()
    }
    merges = sorted(published.bpe_ranks, key=published.bpe_ranks.get)
    CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length).save_pretrained(directory)
    write_bpe(directory, vocabulary, merges)


def qwen(directory: Path, size: int = 1200):
    """A byte-level BPE with Qwen's word pattern, special tokens and chat template."""
    from transformers import Qwen2Tokenizer
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    vocabulary, merges = byte_level_bpe(conversations(), size, PRETOKENIZE_REGEX)
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        model_max_length=32768,
        chat_template=CHAT_TEMPLATE,
    )
    # A coordinate is one token: layouts are short to learn and to write.
    tokenizer.add_tokens([str(step / GRID) for step in range(1, GRID)])
    tokenizer.save_pretrained(directory)
    write_bpe(directory, vocabulary, merges)
    return tokenizer


def opt(size: int = 800):
    """A byte-level BPE with OPT's special tokens at OPT's ids 1 to 3 and its leading ``</s>``."""
    from transformers import GPT2Tokenizer

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary, merges = byte_level_bpe(sentences(), size)
    vocabulary = {token: i for i, token in enumerate([*special, *sorted(vocabulary, key=vocabulary.get)])}
    return GPT2Tokenizer(
        vocab=vocabulary, merges=merges, bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>"
    )


def bert_vocabulary() -> dict[str, int]:
    """A WordPiece vocabulary that keeps BERT's ids of special tokens and printable ASCII.

    Grounding DINO relies on them: [CLS] 101, [SEP] 102, "." 1012 and "?" 1029 end a phrase.
    """
    characters = [c for c in map(chr, range(0x21, 0x7F)) if c not in string.ascii_uppercase]
    words = sorted({w for text in sentences(300) for w in text.split() if w.isalpha() and len(w) > 1})
    tokens = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [f"[unused{i}]" for i in range(99, 994)]
    tokens += characters + words + [f"##{c}" for c in string.ascii_lowercase + string.digits]
    return {token: i for i, token in enumerate(tokens)}
