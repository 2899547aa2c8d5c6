"""What the prompts of a step begin with (instructions, examples), which an engine needs to read only once."""

from collections.abc import Callable, Sequence


def common(texts: Sequence[Sequence[int]]) -> list[int]:
    """The tokens that all texts begin with, never all of a text.

    >>> common([[1, 2, 3], [1, 2, 4, 5], [1, 2]])
    [1]
    """
    longest = min(map(len, texts)) - 1
    first = texts[0]
    for length in range(longest):
        if any(text[length] != first[length] for text in texts):
            return list(first[:length])
    return list(first[: max(0, longest)])


def shared_start(
    conversation: list[dict], prompts: Sequence[Sequence[int]], tokens_of: Callable[[list[dict]], list[int]]
) -> list[int]:
    """The tokens before the last message of ``conversation``, as far as all ``prompts`` begin with them.

    They do not reach into the last message, whatever the queries share by chance: they are the same for a whole step.
    """
    *before, last = conversation
    others = [tokens_of([*before, {**last, "content": text}]) for text in ("0", "~")]
    return common([*others, *prompts])
