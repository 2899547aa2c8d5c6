"""Operations of a chat model that can be shown the reference picture of each query: Qwen2.5-VL.

The picture, where there is one, and the prompt before the answers are read once per query; then the answers are decoded
side by side.
"""

from typing import TYPE_CHECKING

from ipcir_steps.runtime.plan.captioning import TEMPLATE, patches_of, seeing, tokens_of
from ipcir_steps.runtime.plan.work import Unknown, Work, decoding

if TYPE_CHECKING:
    from ipcir_steps.imagine.llm.prompts import Prompt

KIND = "qwen2_5_vl"


def answering(counts, prompt: "Prompt", answers: int, own: int, new: int, rows: int) -> Work:
    """The work of one query. own: tokens of captions and request; new: of an answer; rows: answers side by side.

    Raises Unknown naming a model of another kind.
    """
    source = counts.config.models["llm"].source
    config = counts.architecture("llm", source).parts["model"]
    if config.get("model_type") != KIND:
        raise Unknown(f"the operations of {source} with pictures are not counted, which is no {KIND}")
    vision = config["vision_config"]
    patches = patches_of(scaled(counts.typical.picture, prompt.longest), vision) if prompt.sees else 0
    whole = tokens_of(patches, vision) + TEMPLATE + len(text_of(prompt)) // 4 + own
    model, rows = counts.model("llm", "text"), min(rows, answers)
    batches = answers / rows
    first, _ = decoding(model, 1, whole, 1)
    begun, later = decoding(model, rows, 1, new, whole)  # the last token of the prompt is each row's own
    return Work("llm", seeing(vision, patches) + first + batches * (begun + later), 1 + batches * new)


def text_of(prompt: "Prompt") -> str:
    return "\n".join(f"{role}\n{content}" for role, content in prompt.messages)


def scaled(picture: tuple[int, int], longest: int) -> tuple[int, int]:
    """(height, width) as a prompt shows it.

    >>> scaled((3000, 4000), 1024), scaled((480, 640), 1024)
    ((768, 1024), (480, 640))
    """
    scale = min(1.0, longest / max(picture))
    return round(picture[0] * scale), round(picture[1] * scale)
