"""Operations of the proxy generators that have a U-Net, with the real processors of a layout on the meta device.

Stable Diffusion 1 and 2, SDXL and InstructPix2Pix; ``flows`` has the pipelines of transformers. ``counts`` is an
``operations.Counts``: it has the configuration, what is typical, and the models.
"""

from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.core import paths
from ipcir_steps.runtime.plan import flows
from ipcir_steps.runtime.plan.weights import weights
from ipcir_steps.runtime.plan.work import Unknown, Work, counted, meta

ROWS = {
    "migc": 2,
    "text_to_image": 2,
    "gligen": 2,
    "image_editing": 3,
}  # rows of the U-Net, with guidance


def drawing(counts) -> list[Work]:
    """Per image."""
    settings = counts.config.proxies
    if settings.generator in ("directory", "none"):
        return []
    if settings.generator not in ROWS:
        raise Unknown(f"the generator {settings.generator} is your own")
    if settings.generator == "migc":
        return with_layout(counts)
    if flows.pipeline(counts):
        return flows.drawing(counts)
    return plain(counts, ROWS[settings.generator] if settings.guidance > 1 else 1)


def plain(counts, rows: int) -> list[Work]:
    """A pipeline of a text encoder, a U-Net and a decoder. What runs once per query beside these is small and left out:
    SDXL's second text encoder, the encoder of a reference that is edited."""
    settings, unet = counts.config.proxies, network(counts)
    batch = min(settings.count, settings.proxies_per_batch)
    step = unet_step(counts, unet, rows * batch) / batch
    texts = settings.count if settings.prompt == "target_captions" else 1
    text = texts * text_states(counts, rows) / settings.count
    beside = 1 + lora_share(counts)
    return [Work("generator", settings.steps * step * beside + text + decoder(counts), settings.steps / batch)]


def network(counts):
    """The U-Net, with its tokens merged where the settings say so."""
    from ipcir_steps.imagine.proxies.merging import merge_tokens

    unet = counts.model("generator", "unet")
    merge_tokens(unet, counts.config.proxies.merge_tokens)
    return unet


def lora_share(counts) -> float:
    """What LoRA weights add that stay beside those of the U-Net: as many operations for each number as these have."""
    config = counts.config
    if "lora" not in config.models or config.proxies.lora_fused:
        return 0.0
    manifest = Path(paths.MANIFEST.format(stack=config.stack_name, role="lora"))
    known = weights("lora", config.models["lora"].source, manifest)
    return known.numbers / sum(weight.numel() for weight in counts.model("generator", "unet").parameters())


def unet_step(counts, unet, rows: int) -> int:
    import torch

    latents, text = meta(rows, unet.config.in_channels, *latent_size(counts)), meta(rows, 77, width_of(unet))
    return counted(lambda: unet(latents, torch.tensor(1), text, added_cond_kwargs=conditions(unet, rows)))[1]


def conditions(unet, rows: int) -> dict | None:
    """What SDXL's U-Net takes beside the states of the text: one vector of it, and six numbers about the picture."""
    config = unet.config
    if config.addition_embed_type != "text_time":
        return None
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    return {"text_embeds": meta(rows, pooled), "time_ids": meta(rows, 6)}


def latent_size(counts) -> tuple[int, int]:
    settings = counts.config.proxies
    factor = flows.factor(counts)
    return settings.height // factor, settings.width // factor


def width_of(unet) -> int:
    width = unet.config.cross_attention_dim
    return width if isinstance(width, int) else width[0]


def decoder(counts) -> int:
    latents = meta(1, counts.model("generator", "vae").config.latent_channels, *latent_size(counts))
    vae = counts.model("decoder") if "decoder" in counts.config.models else counts.model("generator", "vae")
    return counted(lambda: vae.decode(latents))[1]


def text_states(counts, rows: int) -> int:
    model = counts.model("generator", "text_encoder")
    tokens = meta(rows, model.config.max_position_embeddings, integers=True)
    return counted(lambda: model(tokens))[1]


def with_layout(counts) -> list[Work]:
    """MIGC, the naive fuser and ELITE: a typical layout, an instance from the reference drawn twice, as published."""
    settings, typical = counts.config.proxies, counts.typical
    batch = min(settings.count, settings.proxies_per_batch)
    from_reference = typical.from_reference if "elite_global" in counts.config.models else 0
    instances = typical.instances + from_reference
    constant, unet = layout_calls(counts, planned(settings), batch, instances, from_reference)
    once = constant + text_states(counts, instances + 2)
    if from_reference:
        once += from_reference * elite(counts) + text_states(counts, from_reference)
    unet *= 1 + lora_share(counts)
    return [Work("generator", unet / batch + once / settings.count + decoder(counts), settings.steps / batch)]


def planned(settings) -> list:
    """The calls of the U-Net in one run, as the generator will make them."""
    from ipcir_steps.imagine.proxies.course import Course, calls
    from ipcir_steps.imagine.proxies.samplers import BETAS, of_layouts, sampler

    scheduler = sampler(of_layouts(settings), BETAS, settings.spacing)
    scheduler.set_timesteps(settings.steps)
    return calls(Course.of(settings), scheduler.timesteps, scheduler.config.num_train_timesteps)


def layout_calls(counts, made: Sequence, batch: int, instances: int, from_reference: int) -> tuple[int, int]:
    """(what is computed once per query, all calls of the U-Net in a run) for a batch of images."""
    import torch

    from ipcir_steps.imagine.proxies.deep import Deep

    settings, unet = counts.config.proxies, network(counts)
    stage, plan = prepared(counts, unet, instances, from_reference)
    deep, time = Deep(unet), torch.tensor(1)
    stage.plan, stage.fuser_steps = plan, settings.steps

    def cost(call) -> int:
        rows = (2 if call.guided else 1) * batch
        latents, text = meta(rows, unet.config.in_channels, *latent_size(counts)), meta(rows, 77, width_of(unet))
        stage.follow(call)
        return counted(lambda: (deep.whole if call.whole else deep.shallow)(latents, time, text))[1]

    first, later = 0, {}
    for call in dict.fromkeys(made):  # a shallow call comes after a whole one of its phase
        first += cost(call)
        later[call] = cost(call)
    stage.rest()
    return first - sum(later.values()), sum(later[call] for call in made)


def prepared(counts, unet, instances: int, from_reference: int):
    """(stage, plan) of a U-Net with MIGC blocks and ELITE's projections; masks are real, everything else is not."""
    import torch

    from ipcir_steps.imagine.proxies.checkpoints import BLOCKS, LAYER, install
    from ipcir_steps.imagine.proxies.migc import MIGC
    from ipcir_steps.imagine.proxies.processors import ImageRow, Plan
    from ipcir_steps.imagine.proxies.regions import Regions, box_masks

    settings, width = counts.config.proxies, width_of(unet)
    with torch.device("meta"):
        stage = install(unet)
        for block in BLOCKS:
            attention = unet.get_submodule(block + LAYER)
            attention.processor.migc = MIGC(attention.to_q.in_features, context_dim=width)
        if from_reference:
            _project(unet, width)
    factor = settings.height // latent_size(counts)[0]
    regions = Regions(box_masks([counts.typical.box] * instances, settings.height, settings.width), factor=factor)
    height, across = latent_size(counts)
    for _ in unet.config.block_out_channels:
        level = regions.level(height * across)
        for name in ("instances", "supplement", "fuser"):
            setattr(level, name, getattr(level, name).to("meta"))
        height, across = -(-height // 2), -(-across // 2)
    images = {number: ImageRow(meta(256, width), 4) for number in range(from_reference)}
    text = meta(instances + 2, 77, width)
    return stage, Plan(text=text, pooled=text[2:, 0], boxes=meta(instances, 4), regions=regions, images=images)


def _project(unet, width: int) -> None:
    from torch import nn

    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            out = module.to_k.out_features
            for role in ("elite_global", "elite_local"):
                pair = {part: nn.Linear(width, out, bias=False) for part in ("to_k", "to_v")}
                setattr(module.processor, role, nn.ModuleDict(pair))


def elite(counts) -> int:
    """One reference: CLIP and a mapper, twice: the whole image and the masked one."""
    import torch

    from ipcir_steps.imagine.proxies.elite import GlobalMapper, LocalMapper

    vision = counts.model("vision")
    side, width = vision.config.image_size, vision.config.hidden_size
    patches = (side // vision.config.patch_size) ** 2
    total = 2 * counted(lambda: vision(meta(1, 3, side, side)))[1]
    for kind in (GlobalMapper, LocalMapper):
        with torch.device("meta"):
            mapper = kind(width, width_of(counts.model("generator", "unet")), width)
        states = [meta(1, 1 + patches, width)] * 5
        total += counted(lambda mapper=mapper, states=states: mapper(states))[1]
    return total
