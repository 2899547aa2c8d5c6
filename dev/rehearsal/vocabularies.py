"""Tokenizers with the published number of tokens and the published special tokens, without the published words.

The merges are systematic: pairs of letters, then pairs of pairs. Text becomes tokens of two to four letters, so prompts
are about as long as with the published vocabularies, a few per cent apart.
"""

import itertools
import string
from pathlib import Path

LETTERS = string.ascii_lowercase
SPACE = "Ġ"  # how byte-level vocabularies write it
# The format in which Qwen's chat models are asked (ChatML), with its default system message.
CHAT = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_level(size: int, first: tuple[str, ...] = ()) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """(vocabulary, merges) of exactly ``size`` tokens. first: special tokens that take the first ids."""
    from tokenizers import pre_tokenizers

    tokens = [*first, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pairs = [a + b for a, b in itertools.product(SPACE + LETTERS, LETTERS)]
    steps = itertools.chain(
        itertools.product(SPACE + LETTERS, LETTERS),
        itertools.product(pairs, [pair for pair in pairs if not pair.startswith(SPACE)]),
    )
    merges = list(itertools.islice(steps, size - len(tokens)))
    tokens += [a + b for a, b in merges]
    return {token: number for number, token in enumerate(tokens)}, merges


def qwen(directory: Path, size: int) -> None:
    from transformers import Qwen2Tokenizer

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocabulary, merges = byte_level(size - len(special))
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=special,
        model_max_length=32768,
        chat_template=CHAT,
    )
    tokenizer.save_pretrained(directory)


def opt(size: int):
    """OPT's special tokens have the ids 0 to 3; a text begins with ``</s>``."""
    from transformers import GPT2Tokenizer

    vocabulary, merges = byte_level(size, ("<s>", "<pad>", "</s>", "<unk>"))
    return GPT2Tokenizer(
        vocab=vocabulary, merges=merges, bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>"
    )


def bert(size: int):
    """Grounding DINO relies on BERT's ids of [CLS], [SEP], "." and "?"."""
    from transformers import BertTokenizer

    tokens = ["[PAD]", *(f"[unused{number}]" for number in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [f"[unused{number}]" for number in range(99, 994)]
    tokens += [c for c in map(chr, range(0x21, 0x7F)) if c not in string.ascii_uppercase]
    tokens += [f"##{c}" for c in LETTERS + string.digits]
    words = itertools.chain(itertools.product(LETTERS, repeat=2), itertools.product(LETTERS, repeat=4))
    tokens += ["".join(word) for word in itertools.islice(words, size - len(tokens))]
    return BertTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, do_lower_case=True, model_max_length=512
    )


def clip(directory: Path) -> None:
    """The published one: open_clip ships its merges."""
    from open_clip.tokenizer import SimpleTokenizer
    from transformers import CLIPTokenizer

    published = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in published.encoder.items()}
    merges = sorted(published.bpe_ranks, key=published.bpe_ranks.get)
    CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77).save_pretrained(directory)
