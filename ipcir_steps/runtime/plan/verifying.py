"""Operations of a judge for one query: all its candidates, each with the target captions or in a question."""

from ipcir_steps.runtime.plan.captioning import TEMPLATE, blip_2_seeing, patches_of, seeing, tokens_of
from ipcir_steps.runtime.plan.work import Unknown, Work, decoding

QUESTION = 90  # tokens of a question with its target captions
NUMBER = 3  # tokens of a number and its comma in an ordered answer


def verifying(counts) -> list[Work]:
    """The work of one query. Lists of one baseline share most of their candidates, so each backbone and baseline is
    counted with ``k`` of its own. Raises Unknown naming the model."""
    verify = counts.config.verify
    source = counts.config.models[verify.role].source
    model = counts.architecture(verify.role, source).parts["model"]
    kind, lists = model.get("model_type", "blip-2"), len(counts.config.backbones) * len(counts.config.baselines)
    if verify.judge == "captioner" and kind == "blip-2":
        each, number, passes = reading(counts, verify.role), verify.k * lists, 1
    elif verify.judge == "yes_no" and kind == "qwen2_5_vl":
        each, number, passes = asking(counts, model, 2, 1), verify.k * lists, 1
    elif verify.judge == "grid" and kind == "qwen2_5_vl":
        each, number, passes = asking(counts, model, 5, NUMBER * verify.k), lists, NUMBER * verify.k
    else:
        raise Unknown(f"the operations of {source} as the judge {verify.judge} are not counted")
    return [Work(verify.role, number * each, number * passes)]


def reading(counts, role: str) -> int:
    """BLIP-2: the candidate through vision tower and Q-Former once, then each target caption behind it."""
    model, rows = counts.model(role), counts.config.captions.count
    tokens = model.config.num_query_tokens + 1 + counts.typical.caption_tokens
    return blip_2_seeing(model) + decoding(model.language_model, rows, tokens, 1)[0]


def asking(counts, model: dict, pictures: int, new: int) -> int:
    """A question about pictures of ``longest`` pixels; a sheet of candidates has four times as many as one."""
    verify, vision = counts.config.verify, model["vision_config"]
    patches = patches_of((verify.longest * 3 // 4, verify.longest), vision)
    prompt = tokens_of(pictures * patches, vision) + TEMPLATE + QUESTION
    text = counts.model(verify.role, "text")
    return pictures * seeing(vision, patches) + sum(decoding(text, 1, prompt, new))
