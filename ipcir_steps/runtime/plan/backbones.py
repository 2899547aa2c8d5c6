"""Operations of a backbone for one image, one text, or both read together: open_clip's models, and those in
transformers' layout (CLIP, SigLIP, SigLIP 2, Qwen's vision-language models)."""

from collections.abc import Callable
from pathlib import Path

from ipcir_steps.core import paths
from ipcir_steps.runtime.plan.captioning import patches_of, seeing, tokens_of
from ipcir_steps.runtime.plan.seen import scaled
from ipcir_steps.runtime.plan.work import Unknown, Work, counted, meta

CHAT = 13  # tokens of the template around an instruction and what is read
PATCHES = 256  # to which SigLIP 2's processor fills up an image of any size
MARKS = 2  # before and after the tokens of a picture


class Backbone:
    """What one backbone of ``counts`` does; each kind of item is counted once."""

    def __init__(self, counts, name: str):
        self.counts, self.settings, self.found = counts, counts.config.embeddings, {}
        entry = counts.config.clip[name]
        self.source, self.named = entry.source, entry.architecture or self.settings.architecture
        self.manifest = Path(paths.CLIP_MANIFEST.format(stack=counts.config.stack_name, backbone=name))

    def image(self) -> list[Work]:
        return self._work("image", self.settings.batch_size)

    def text(self) -> list[Work]:
        return self._work("text", self.settings.batch_size)

    def joint(self) -> list[Work]:
        """A reference and its request. Raises Unknown for two towers, which read nothing together."""
        return self._work("joint", self.counts.config.joint.batch_size)

    def _work(self, item: str, batch: int) -> list[Work]:
        if item not in self.found:
            self.found[item] = self._count(item)
        return [Work("clip", self.found[item], 1 / batch)]

    def _count(self, item: str) -> int:
        from ipcir_steps.seek.embeddings import dual, reader

        config = self._config()
        kind = config.get("model_type")
        if kind in reader.KINDS:
            return reading(self.counts, item, config)
        if item == "joint":
            raise Unknown(f"not counted: {self.source} has two towers, which read nothing together")
        if kind in dual.KINDS:
            return of_two(item, config)
        if kind is not None:
            raise Unknown(f"not counted: {self.source} is a {kind}")
        return counted(of_open_clip(self.counts.built("clip", "model", self.source, config), item))[1]

    def _config(self) -> dict:
        """open_clip's or transformers'. A weights file has that of the name that the configuration gives it."""
        if self.named and not Path(self.source).is_dir():
            import open_clip

            known = open_clip.get_model_config(self.named)
            if known is not None:
                return known
        return self.counts.architecture("clip", self.source, self.manifest).parts["model"]


def of_open_clip(model, item: str) -> Callable:
    if item == "text":
        return lambda: model.encode_text(meta(1, model.context_length, integers=True))
    side = model.visual.image_size
    return lambda: model.encode_image(meta(1, 3, *([side] * 2 if isinstance(side, int) else side)))


def of_two(item: str, config: dict) -> int:
    """One tower in transformers' layout."""
    import torch
    import transformers

    from ipcir_steps.seek.embeddings.dual import PARTS, Dual

    kind = config["model_type"]
    whole = own(config)
    part = whole.vision_config if item == "image" else whole.text_config
    part.projection_dim = getattr(whole, "projection_dim", None)
    with torch.device("meta"):
        tower = getattr(transformers, PARTS[kind][item])(part)
    model = Dual({item: tower.to("meta").eval()}, kind, 0)
    if item == "text":
        return counted(lambda: model.encode_text(meta(1, part.max_position_embeddings, integers=True)))[1]
    if kind != "siglip2":
        return counted(lambda: model.encode_image(meta(1, 3, part.image_size, part.image_size)))[1]
    return counted(lambda: any_size(tower, part))[1]


def any_size(tower, config):
    """SigLIP 2's tower for images of any size, without masks, whose values it looks at."""
    import torch

    grid = torch.tensor([[int(PATCHES**0.5)] * 2])
    seen = tower.embeddings(meta(1, PATCHES, config.num_channels * config.patch_size**2), grid)
    return tower.head(tower.post_layernorm(tower.encoder(inputs_embeds=seen).last_hidden_state))


def reading(counts, item: str, config: dict) -> int:
    """One chat of a vision-language model of Qwen: the picture through its tower, then all tokens through the language
    model. Batches are filled up to their longest chat, which is not counted."""
    whole, settings, typical = own(config), counts.config.embeddings.reading, counts.typical
    instruction = settings.query_instruction if item == "joint" else settings.instruction
    tokens = CHAT + len(instruction) // 4 + bool(settings.ending)
    tokens += {"text": typical.source_tokens, "joint": typical.request_tokens}.get(item, 0)
    if item == "text":
        return states(whole.text_config, tokens)
    vision = whole.vision_config.to_dict()
    patches = patches_of(scaled(typical.picture, settings.longest), vision)
    return looking(whole.model_type, vision, patches) + states(
        whole.text_config, tokens + MARKS + tokens_of(patches, vision)
    )


def looking(kind: str, vision: dict, patches: int) -> int:
    """Of the vision tower. Qwen2-VL's and Qwen3-VL's attentions reach the whole picture, and their inner layers have no
    gate; Qwen3-VL hands over what some of its layers see, too."""
    if kind == "qwen2_5_vl":
        return seeing(vision, patches)
    vision = {**vision, "fullatt_block_indexes": range(vision["depth"])}
    if kind == "qwen2_vl":
        width = vision["embed_dim"]
        inner = int(width * vision["mlp_ratio"])
        vision |= {"out_hidden_size": vision["hidden_size"], "hidden_size": width, "intermediate_size": inner}
    return seeing(vision, patches, products=2, outputs=1 + len(vision.get("deepstack_visual_indexes", ())))


def states(config, tokens: int) -> int:
    """Of so many tokens through the layers of a language model, without its head."""
    import torch
    import transformers

    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config).to("meta").eval()
    words, cache = meta(1, tokens, config.hidden_size), transformers.DynamicCache(config=config)
    return counted(lambda: model(inputs_embeds=words, past_key_values=cache, use_cache=True))[1]


def own(config: dict):
    """transformers' configuration with the defaults that a file leaves out."""
    import transformers

    rest = {key: value for key, value in config.items() if key not in ("model_type", "architectures", "dtype")}
    return transformers.AutoConfig.for_model(config["model_type"], **rest)
