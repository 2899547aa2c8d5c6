"""The work of one item of a step, and how it is counted on the meta device."""

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
