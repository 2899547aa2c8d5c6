"""Settings of the proxy generator."""

from typing import Literal

from pydantic import Field

from ipcir_steps.config.base import AUTO_DTYPE, Count, Dtype, Fraction, Section


class Proxies(Section):
    """Imagined proxy images."""

    generator: str = Field(
        "text_to_image",
        pattern=r"^(migc|text_to_image|gligen|image_editing|directory|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="migc, text_to_image, gligen, image_editing, directory, or your own as package.module:Class",
    )
    count: Count = Field(5, description="N: proxy images per query")
    steps: Count = Field(50, description="denoising steps")
    guidance: float = Field(7.5, ge=0, description="classifier-free guidance scale")
    width: int = Field(512, ge=8, multiple_of=8, description="pixels, a multiple of 8")
    height: int = Field(512, ge=8, multiple_of=8, description="pixels, a multiple of 8")
    negative_prompt: str = Field("worst quality, low quality, bad anatomy", description="what not to draw")
    proxies_per_batch: Count = Field(5, description="images drawn together; halved when memory runs out")
    device: str = Field("auto", description="torch device; auto takes a GPU when there is one")
    dtype: Dtype = Field("auto", description=f"number format of the weights; {AUTO_DTYPE}")
    base_config: str | None = Field(
        None, description="diffusers directory with the configs and tokenizer of a --model that is one safetensors file"
    )
    migc_steps: int = Field(25, ge=-1, description="migc: last step index (0-based) of the MIGC blocks; -1 for none")
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
        description="JSON file of box statistics per category that boxes are nudged by; none: boxes as planned",
    )
    enrichment: Literal["published", "mean"] = Field(
        "published",
        description="how statistics are used: published is the released code's rule, mean goes to each category's mean",
    )
    redraws: int = Field(
        0,
        ge=0,
        description="how often an image is redrawn whose instances the detector does not find; needs --detector",
    )
    acceptance_iou: Fraction = Field(0.25, description="a detected box this much on its planned box is found")
    acceptance_score: Fraction = Field(0.3, description="least detection score")
