"""The work of one item of a step, and how it is counted on the meta device; that of a language model, which several
steps have."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Work:
    """Of one item. operations: in all; passes: how often the weights of ``role`` are read for it (a fraction where
    items share a batch)."""

    role: str
    operations: float
    passes: float


@dataclasses.dataclass(frozen=True)
class Typical:
    """What the annotations do not tell. Means of CIRCO's released captions and layouts (400 queries), four characters
    to a token: 10 words a caption, 14 in the longest of 15; 2.8 instances of 22 % of the image, 1.5 of them drawn like
    the reference; 490 characters of text in a layout, and the JSON around them. Pictures: 640 x 480, as in COCO."""

    caption_tokens: int = 18  # until the longest of an image's captions has ended
    answer_tokens: int = 18
    layout_tokens: int = 250
    source_tokens: int = 14  # a caption in a prompt
    request_tokens: int = 15  # a relative caption
    instances: int = 3
    from_reference: int = 1
    masks_per_query: float = 1.5
    box: tuple[float, float, float, float] = (0.25, 0.25, 0.72, 0.72)
    picture: tuple[int, int] = (480, 640)


class Unknown(Exception):
    """A model whose architecture is not known here."""


def meta(*shape: int, integers: bool = False):
    import torch

    return torch.empty(*shape, device="meta", dtype=torch.long if integers else torch.float32)


def counted(run: Callable) -> tuple[object, int]:
    """(what ``run()`` returns, the operations that it took)."""
    import torch

    from ipcir_steps.runtime.plan.counting import Counter

    with torch.inference_mode(), Counter() as counter:
        result = run()
    return result, counter.total


def decoding(model, rows: int, prompt: int, new: int, shared: int = 0) -> tuple[int, int]:
    """Operations of (reading ``prompt`` tokens in each row, writing ``new`` ones), after ``shared`` tokens.

    The first new token comes with the prompt; the others are counted at their mean length, on which they depend
    linearly.
    """
    from transformers import DynamicCache

    def run(tokens: int, past: int) -> int:
        cache = DynamicCache(config=model.config)
        fill(cache, model.config, rows, past)
        ids = meta(rows, tokens, integers=True)
        return counted(lambda: model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1))[1]

    first = run(prompt, shared)
    return first, (new - 1) * run(1, shared + prompt + (new - 1) // 2) if new > 1 else 0


def fill(cache, config, rows: int, tokens: int) -> None:
    """Put ``tokens`` keys and values into each layer."""
    if tokens == 0:
        return
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    for layer in range(config.num_hidden_layers):
        cache.update(meta(rows, heads, tokens, width), meta(rows, heads, tokens, width), layer)
