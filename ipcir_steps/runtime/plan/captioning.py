"""Operations of a captioner for one image, by the type of its model: BLIP-2, BLIP, Qwen2.5-VL.

All captions of an image are one batch.
"""

import math

from ipcir_steps.runtime.plan.work import Unknown, Work, counted, decoding, meta

TEMPLATE = 23  # tokens of a chat template, beside the image and the question


def captioning(counts, count: int) -> list[Work]:
    """The work of one image with ``count`` captions. counts: those of a configuration. Raises Unknown naming the
    model."""
    source = counts.config.models["captioner"].source
    config = counts.architecture("captioner", source).parts["model"]
    kinds = {"blip-2": blip_2, "blip": blip, "qwen2_5_vl": qwen_vl}
    kind = config.get("model_type", "blip-2")
    if kind not in kinds:
        raise Unknown(f"the operations of {source} are not counted, which is none of {', '.join(kinds)}")
    settings = counts.config.captions
    rows = count if settings.nucleus else max(settings.beams, count)
    new = min(settings.max_new_tokens, counts.typical.caption_tokens)
    return [Work("captioner", kinds[kind](counts, config, rows, new), new)]


def blip_2(counts, config: dict, rows: int, new: int) -> int:
    """Vision tower, Q-Former, the prompt, then one pass per token."""
    model = counts.model("captioner")
    prompt = model.config.num_query_tokens + 1 + len(counts.config.captions.prompt) // 4
    return blip_2_seeing(model) + sum(decoding(model.language_model, rows, prompt, new))


def blip_2_seeing(model) -> int:
    """Of BLIP-2's vision tower and Q-Former, for one picture."""
    vision = model.config.vision_config
    seen = meta(1, getattr(vision, "num_channels", 3), *[vision.image_size] * 2)
    states, total = counted(lambda: model.vision_model(seen).last_hidden_state)
    asked = meta(1, model.config.num_query_tokens, model.config.qformer_config.hidden_size)
    return total + counted(lambda: model.qformer(query_embeds=asked, encoder_hidden_states=states))[1]


def blip(counts, config: dict, rows: int, new: int) -> int:
    """Vision tower, then a decoder that looks at the image in every layer."""
    model = counts.model("captioner")
    vision = model.config.vision_config
    states, total = counted(lambda: model.vision_model(meta(1, 3, *[vision.image_size] * 2)).last_hidden_state)
    seen = meta(rows, *states.shape[1:])
    prompt = 1 + len(counts.config.captions.prompt) // 4

    def read(tokens: int, past=None):
        ids = meta(rows, tokens, integers=True)
        return model.text_decoder(ids, encoder_hidden_states=seen, past_key_values=past, use_cache=True)

    total += counted(lambda: read(prompt))[1]
    if new > 1:
        known = read(prompt + (new - 1) // 2).past_key_values
        total += (new - 1) * counted(lambda: read(1, known))[1]
    return total


def qwen_vl(counts, config: dict, rows: int, new: int) -> int:
    """The vision tower once; each caption reads the image's tokens and the question, then one pass per token."""
    from ipcir_steps.imagine.captions import ASK

    vision = config["vision_config"]
    patches = patches_of(counts.typical.picture, vision)
    question = len(counts.config.captions.prompt or ASK) // 4
    prompt = tokens_of(patches, vision) + TEMPLATE + question
    return seeing(vision, patches) + sum(decoding(counts.model("captioner", "text"), rows, prompt, new))


def patches_of(picture: tuple[int, int], vision: dict) -> int:
    """Patches of a picture (height, width), whose sides are rounded to whole groups of patches."""
    patch, merge = vision.get("patch_size", 14), vision.get("spatial_merge_size", 2)
    height, width = (max(round(side / patch / merge), 1) * merge for side in picture)
    return height * width


def tokens_of(patches: int, vision: dict) -> int:
    """Tokens of a prompt that a picture of so many patches takes: one for each group of patches."""
    return patches // vision.get("spatial_merge_size", 2) ** 2


def seeing(vision: dict, patches: int, products: int = 3, outputs: int = 1) -> int:
    """Of Qwen2.5-VL's vision tower, whose windows depend on the values of tensors, which on the meta device have none:
    by its config alone. Attentions reach a window, in some layers the whole picture.

    products: of an inner layer, three with a gate; outputs: how many layers the language model is given.
    """
    width, inner, layers = vision["hidden_size"], vision["intermediate_size"], vision["depth"]
    patch, merge = vision.get("patch_size", 14), vision.get("spatial_merge_size", 2) ** 2
    window = (vision.get("window_size", 112) // patch) ** 2
    whole = len(vision.get("fullatt_block_indexes", ()))
    products = layers * patches * (4 * width * width + products * width * inner)
    attentions = 2 * width * patches * ((layers - whole) * min(window, patches) + whole * patches)
    embedding = patches * 3 * vision.get("temporal_patch_size", 2) * patch**2 * width
    merged = width * merge
    merging = outputs * math.ceil(patches / merge) * (merged * merged + merged * vision["out_hidden_size"])
    return 2 * (products + attentions + embedding + merging)
