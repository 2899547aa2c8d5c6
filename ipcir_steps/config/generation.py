"""The proxy generators, one card each, and their settings."""

import dataclasses
from collections.abc import Collection
from typing import Literal

from pydantic import Field, JsonValue, model_validator

from ipcir_steps.config.base import AUTO_DTYPE, Count, Dtype, Fraction, Section, later
from ipcir_steps.core import plugins
from ipcir_steps.core.errors import InputError


@dataclasses.dataclass(frozen=True)
class Generator:
    """What a generator needs, known before it is imported, so that no job is planned that it has no use for.

    name: package.module:Class. roles: models that it cannot do without; optional_roles: models that it uses where they
    are configured. needs_layouts: it draws layouts; needs_masks: it looks at the masks of reference instances;
    needs_captions: it reads the target captions. draws: it makes images; else only the variants without proxies are
    ranked.
    A custom generator declares what differs from these defaults as literals in its class.
    """

    name: str
    roles: tuple[str, ...] = ("generator",)
    optional_roles: tuple[str, ...] = ()
    needs_layouts: bool = True
    needs_masks: bool = True
    needs_captions: bool = False
    draws: bool = True

    @property
    def unused(self) -> set[str]:
        """Steps whose work is not needed. Masks are of the instances of layouts, so they need layouts."""
        if not self.draws:
            return {"layouts", "masks", "proxies"}
        masks = set() if self.needs_masks else {"masks"}
        return masks if self.needs_masks or self.needs_layouts else masks | {"layouts"}


def _shipped(name: str, **needs) -> Generator:
    return Generator(f"ipcir_steps.imagine.proxies.{name}", **needs)


ADDED = ("lora", "decoder")  # LoRA weights, and a small decoder in place of the autoencoder's
GENERATORS = {
    "migc": _shipped("migc_generator:MIGCGenerator", roles=("generator", "migc"),
                     optional_roles=("elite_global", "elite_local", "vision", *ADDED)),
    "text_to_image": _shipped("text_to_image:TextToImage", needs_masks=False, optional_roles=ADDED),
    "gligen": _shipped("gligen:GLIGEN", needs_masks=False, optional_roles=ADDED),
    "image_editing": _shipped("image_editing:ImageEditing", needs_layouts=False, needs_masks=False,
                              optional_roles=ADDED),
    "directory": _shipped("directory:Directory", roles=(), needs_layouts=False, needs_masks=False),
    "none": _shipped("nothing:Nothing", roles=(), needs_layouts=False, needs_masks=False, draws=False),
}  # fmt: skip

SAMPLERS = ("euler", "dpm++_2m_karras", "unipc", "ddim", "lcm", "tcd")
NOISY = ("lcm", "tcd")  # they add fresh noise in every step but the last
LEVELS = 50  # noise levels that those two choose their steps from, as their networks were distilled


class Proxies(Section):
    """Imagined proxy images."""

    generator: str = Field(
        "text_to_image",
        pattern=rf"^({'|'.join(GENERATORS)}|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description=f"{', '.join(GENERATORS)}, or your own as package.module:Class",
    )
    prompt: Literal["layout", "target_captions"] = later(
        "layout",
        description="text_to_image: what is drawn; target_captions: image n from target caption n, in turn, without "
        "layouts",
    )
    count: Count = Field(5, description="N: proxy images per query")
    steps: Count = Field(50, description="denoising steps")
    scheduler: Literal["default", *SAMPLERS] = later(
        "default", description="sampler; default: euler for migc (as published), else the pipeline's own"
    )
    spacing: Literal["default", "linspace", "leading", "trailing"] = later(
        "default",
        description="noise levels of a chosen sampler, in diffusers' words; default: linspace for euler (published), "
        "trailing for unipc and ddim; the others have their own",
    )
    tcd_eta: Fraction = later(0.3, description="scheduler tcd: share of fresh noise in each step (gamma of its paper)")
    guidance: float = Field(
        7.5, ge=0, description="classifier-free guidance scale; at most 1: none, the negative prompt is not computed"
    )
    guidance_until: Fraction = later(
        1.0,
        description="migc: part of the way from noise to image, as in migc_until, on which there is guidance; after it "
        "the negative prompt is not computed",
    )
    reuse_every: Count = later(
        1,
        description="migc: the deep levels of the U-Net are computed at every so many steps and reused between them; "
        "1: always",
    )
    merge_tokens: float = later(
        0.0,
        ge=0,
        le=0.75,
        description="U-Nets: share of the positions that are merged in the self-attentions at the highest resolution; "
        "0: none",
    )
    lora_weight: float = later(1.0, description="factor of the LoRA weights, where the stack has a model lora")
    lora_fused: bool = later(True, description="add the LoRA weights to the model's once; false: beside them, slower")
    channels_last: bool = later(False, description="memory layout of convolutions that some GPUs are faster with")
    compile: bool = later(
        False, description="torch.compile of the layers that repeat; pays for many queries on a GPU, and only there"
    )
    width: int = Field(512, ge=8, multiple_of=8, description="pixels, a multiple of 8")
    height: int = Field(512, ge=8, multiple_of=8, description="pixels, a multiple of 8")
    negative_prompt: str = Field("worst quality, low quality, bad anatomy", description="what not to draw")
    proxies_per_batch: Count = Field(5, description="images drawn together; halved when memory runs out")
    device: str = Field("auto", description="torch device; auto takes a GPU when there is one")
    dtype: Dtype = Field("auto", description=f"number format of the weights; {AUTO_DTYPE}")
    base_config: str | None = Field(
        None,
        description="diffusers directory with the configs and tokenizer of a generator that is one safetensors file",
    )
    migc_steps: int = Field(25, ge=-1, description="migc: last step index (0-based) of the MIGC blocks; -1 for none")
    migc_until: Fraction | None = later(
        None,
        description="migc: in place of migc_steps, part of the way from pure noise (0) to the image (1), in training "
        "time, on which the MIGC blocks act; 0.52 is as published; null: migc_steps",
    )
    fuser_steps: int = Field(50, ge=-1, description="migc: last step index (0-based) of the naive fuser; -1 for none")
    regions: Literal["box", "reference_mask"] = Field(
        "box",
        description="migc with MIGC++: where instances from the reference go, their box or their silhouette in the box",
    )
    published_gate: bool = Field(
        False, description="migc: gate the local attention by the negative prompt's row, as the published code does"
    )
    local_weight: Fraction = Field(
        0.5, description="migc: share of the image-referenced attention in the output of an image instance"
    )
    unmasked: Literal["whole image", "text"] = Field(
        "whole image",
        description="migc: an image instance without a mask is drawn from the whole reference, or as text (published)",
    )
    image_guidance: float = Field(1.5, ge=0, description="image_editing: how closely the reference image is kept")
    directory: str | None = Field(
        None, description="directory: folder of ready-made images, {query_id}/{n}.png (or jpg, jpeg, webp)"
    )
    statistics: str | None = Field(
        None,
        description="JSON file of box statistics per category, towards which boxes are moved; null: boxes as planned",
    )
    enrichment: Literal["published", "mean"] = Field(
        "published",
        description="how statistics are used; published: the released code's rule, mean: towards each category's mean",
    )
    redraws: int = Field(
        0,
        ge=0,
        description="most redraws of an image in which the detector misses an instance; needs the model detector",
    )
    acceptance_iou: Fraction = Field(
        0.25, description="IoU with its planned box from which a detected instance counts as found"
    )
    acceptance_score: Fraction = Field(0.3, description="lowest score of a detection that counts")
    settings: dict[str, JsonValue] = Field(
        {}, description="settings of a custom generator or of image_editing, as its class declares them"
    )

    @model_validator(mode="after")
    def _steps_that_there_are(self) -> "Proxies":
        if self.scheduler in NOISY and self.steps > LEVELS:
            name = self.scheduler
            raise ValueError(f"proxies.steps: {self.steps} is more than the {LEVELS} noise levels of scheduler {name}")
        return self


def generator_of(settings: Proxies) -> Generator:
    """The card of the configured generator. Raises InputError where a custom one cannot be read."""
    name = settings.generator
    if name in GENERATORS:
        card = GENERATORS[name]
        if name == "text_to_image" and settings.prompt == "target_captions":
            card = dataclasses.replace(card, needs_layouts=False, needs_captions=True)
        return card
    known = {field.name for field in dataclasses.fields(Generator)} - {"name"}
    try:
        found = {key: value for key, value in plugins.declared(name).items() if key in known}
    except (ImportError, AttributeError, SyntaxError) as error:
        raise InputError(
            f"{name!r} cannot be read ({error})",
            field="proxies.generator",
            remedy=f"Name one of {', '.join(GENERATORS)}, or a class in a module that can be imported.",
        ) from error
    return Generator(name, **{key: tuple(value) if key.endswith("roles") else value for key, value in found.items()})


def generator_roles(settings: Proxies, configured: Collection[str]) -> list[str]:
    """The models that drawing needs, of the configured ones. Raises InputError naming a role that is not configured."""
    card = generator_of(settings)
    wanted = [*card.roles, *(["detector"] if settings.redraws else [])]
    for role in wanted:
        if role not in configured:
            problem = f"generator {settings.generator} needs a model for the role {role!r}, which is not set"
            raise InputError(problem, field="models", remedy=f"Set {role} beside {', '.join(configured)}.")
    return list(dict.fromkeys([*wanted, *(role for role in card.optional_roles if role in configured)]))
