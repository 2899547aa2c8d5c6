"""Tokenizers of the tiny models, from vocabularies that were learned from the mini world's own sentences."""

import functools
import json
import string
from pathlib import Path

from ipcir_steps.imagine.layouts.schema import GRID

# The chat format of Qwen (ChatML): a default system message, then one block per message.
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@functools.cache
def _shipped() -> dict:
    return json.loads((Path(__file__).parent / "weights/vocabularies.json").read_text(encoding="utf-8"))


def vocabulary(name: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(token ids, merges) of "qwen" or "opt", as ``training.vocabularies`` learned them: the weights belong to them."""
    entry = _shipped()[name]
    return {token: i for i, token in enumerate(entry["vocabulary"])}, [tuple(m.split(" ")) for m in entry["merges"]]


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


def qwen(directory: Path):
    """A byte-level BPE with Qwen's word pattern, special tokens and chat template."""
    from transformers import Qwen2Tokenizer

    vocab, merges = vocabulary("qwen")
    tokenizer = Qwen2Tokenizer(
        vocab=vocab,
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
    write_bpe(directory, vocab, merges)
    return tokenizer


def opt():
    """A byte-level BPE with OPT's special tokens at OPT's ids 1 to 3 and its leading ``</s>``."""
    from transformers import GPT2Tokenizer

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    learned, merges = vocabulary("opt")
    ids = {token: i for i, token in enumerate([*special, *learned])}
    return GPT2Tokenizer(
        vocab=ids, merges=merges, bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>"
    )


def bert_vocabulary() -> dict[str, int]:
    """A WordPiece vocabulary that keeps BERT's ids of special tokens and printable ASCII.

    Grounding DINO relies on them: [CLS] 101, [SEP] 102, "." 1012 and "?" 1029 end a phrase.
    """
    characters = [c for c in map(chr, range(0x21, 0x7F)) if c not in string.ascii_uppercase]
    tokens = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [f"[unused{i}]" for i in range(99, 994)]
    tokens += characters + _shipped()["words"] + [f"##{c}" for c in string.ascii_lowercase + string.digits]
    return {token: i for i, token in enumerate(tokens)}
