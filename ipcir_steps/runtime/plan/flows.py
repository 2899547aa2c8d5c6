"""Operations of generators whose network is a transformer that predicts a flow: FLUX, FLUX Kontext, FLUX.2 klein,
Qwen-Image and its editing. The sizes of references are those that diffusers' pipelines bring them to."""

from ipcir_steps.runtime.plan.work import Unknown, Work, counted, decoding, meta

KLEIN = "Flux2KleinPipeline"
KNOWN = ("FluxPipeline", "FluxKontextPipeline", KLEIN, "QwenImagePipeline", "QwenImageEditPipeline",
         "QwenImageEditPlusPipeline")  # fmt: skip
FLUX_TOKENS = 512  # to which its texts are filled up
WORDS = 60  # tokens of a caption and of the template around it that are kept, in Qwen-Image
TRUE_GUIDANCE = {"FluxPipeline": 1.0, "FluxKontextPipeline": 1.0}  # the others': 4


def pipeline(counts) -> str | None:
    """The pipeline that a directory names, where its network is a transformer."""
    parts = counts.architecture("generator", counts.config.models["generator"].source).parts
    return parts["index"]["_class_name"] if "transformer" in parts else None


def drawing(counts) -> list[Work]:
    """Per image: every call of the transformer, texts and references, the decoder."""
    name, settings = pipeline(counts), counts.config.proxies
    if name not in KNOWN:
        raise Unknown(f"not counted: the operations of a {name}")
    batch, flux = min(settings.count, settings.proxies_per_batch), name.startswith("Flux")
    step = 2 * factor(counts)
    size = settings.height // step * step, settings.width // step * step
    sides = references(name, settings.width / settings.height)
    if name == KLEIN and settings.generator == "image_editing":
        sides = [size]
    tokens = [height * width // step**2 for height, width in (size, *sides)]
    calls = 2 if guided(counts, name) else 1
    once = sum(encoder(counts, side, flux) for side in sides[-1:])
    if flux:
        call = (klein_call if name == KLEIN else flux_call)(counts, batch, sum(tokens))
        texts = klein_texts(counts) if name == KLEIN else flux_texts(counts)
        once += calls * (1 if sides else batch) * texts
    else:
        seen = tokens[-1] * step**2 // 28**2 if sides else 0  # patches of the text encoder, two by two
        call = qwen_call(counts, batch, [(h // step, w // step) for h, w in (size, *sides)], WORDS + seen)
        once += calls * qwen_texts(counts, WORDS + 64 + seen)
    total = settings.steps * calls * call + once
    return [Work("generator", total / batch + decoder(counts, size, flux), settings.steps * calls / batch)]


def guided(counts, name: str) -> bool:
    """Whether the transformer also runs on the negative prompt."""
    settings = counts.config.proxies
    if name == KLEIN:
        parts = counts.architecture("generator", counts.config.models["generator"].source).parts
        return settings.guidance > 1 and not parts["index"].get("is_distilled")
    default = 1.0 if settings.guidance <= 1 else TRUE_GUIDANCE.get(name, 4.0)
    return (settings.settings.get("true_cfg_scale") or default) > 1


def references(name: str, ratio: float) -> list[tuple[int, int]]:
    """(height, width) of the reference in an editing pipeline; ratio: width / height."""
    if name == "FluxKontextPipeline":
        from diffusers.pipelines.flux import pipeline_flux_kontext as kontext

        _, width, height = min((abs(ratio - w / h), w, h) for w, h in kontext.PREFERRED_KONTEXT_RESOLUTIONS)
        return [(height, width)]
    if name.startswith("QwenImageEdit"):
        from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit as edit

        width, height, _ = edit.calculate_dimensions(1024 * 1024, ratio)
        return [(height, width)]
    return []


def factor(counts) -> int:
    """Pixels per latent position and axis."""
    config = counts.model("generator", "vae").config
    if "temperal_downsample" in config:
        return 2 ** len(config.temperal_downsample)
    return 2 ** (len(config.block_out_channels) - 1)


def flux_call(counts, rows: int, tokens: int) -> int:
    model = counts.model("generator", "transformer")
    config = model.config
    given = {
        "hidden_states": meta(rows, tokens, config.in_channels), "timestep": meta(rows),
        "encoder_hidden_states": meta(rows, FLUX_TOKENS, config.joint_attention_dim),
        "pooled_projections": meta(rows, config.pooled_projection_dim), "img_ids": meta(tokens, 3),
        "txt_ids": meta(FLUX_TOKENS, 3), "guidance": meta(rows) if config.guidance_embeds else None,
    }  # fmt: skip
    return counted(lambda: model(**given))[1]


def flux_texts(counts) -> int:
    """One text through T5 and CLIP."""
    clip, t5 = counts.model("generator", "text_encoder"), counts.model("generator", "text_encoder_2")
    words = meta(1, clip.config.max_position_embeddings, integers=True)
    return counted(lambda: (clip(words), t5(meta(1, FLUX_TOKENS, integers=True))))[1]


def klein_call(counts, rows: int, tokens: int) -> int:
    model = counts.model("generator", "transformer")
    given = {
        "hidden_states": meta(rows, tokens, model.config.in_channels), "timestep": meta(rows), "guidance": None,
        "encoder_hidden_states": meta(rows, FLUX_TOKENS, model.config.joint_attention_dim),
        "img_ids": meta(rows, tokens, 4), "txt_ids": meta(rows, FLUX_TOKENS, 4),
    }  # fmt: skip
    return counted(lambda: model(**given))[1]


def klein_texts(counts) -> int:
    """One text through Qwen3, of which the pipeline also computes the head, at every token."""
    from transformers import DynamicCache

    model = counts.model("generator", "text_encoder")
    words, cache = meta(1, FLUX_TOKENS, integers=True), DynamicCache(config=model.config)
    return counted(lambda: model(input_ids=words, past_key_values=cache, use_cache=True))[1]


def qwen_call(counts, rows: int, grids: list[tuple[int, int]], words: int) -> int:
    model = counts.model("generator", "transformer")
    given = {
        "hidden_states": meta(rows, sum(h * w for h, w in grids), model.config.in_channels), "timestep": meta(rows),
        "encoder_hidden_states": meta(rows, words, model.config.joint_attention_dim),
        "img_shapes": [[(1, *grid) for grid in grids]] * rows,
    }  # fmt: skip
    return counted(lambda: model(**given))[1]


def qwen_texts(counts, words: int) -> int:
    """One prompt through the language model; its vision tower, which reads the reference once a query, is left out."""
    return decoding(counts.model("generator", "text_encoder"), 1, words, 1)[0]


def encoder(counts, side: tuple[int, int], flux: bool) -> int:
    vae = counts.model("generator", "vae")
    return counted(lambda: vae.encode(meta(1, 3, *(() if flux else (1,)), *side)))[1]


def decoder(counts, size: tuple[int, int], flux: bool) -> int:
    vae, each = counts.model("generator", "vae"), factor(counts)
    channels = vae.config.latent_channels if flux else vae.config.z_dim
    latents = meta(1, channels, *(() if flux else (1,)), size[0] // each, size[1] // each)
    small = flux and "decoder" in counts.config.models
    return counted(lambda: (counts.model("decoder") if small else vae).decode(latents))[1]
