"""Settings of the proxy generator."""

from typing import Literal

from pydantic import Field

from ipcir_steps.config.base import Count, Section


class Proxies(Section):
    """Imagined proxy images."""

    generator: Literal["migc", "text_to_image", "gligen", "image_editing", "directory"] = Field(
        "text_to_image", description="which generator draws the proxies"
    )
    count: Count = Field(5, description="N: proxy images per query")
    steps: Count = Field(50, description="denoising steps")
    guidance: float = Field(7.5, ge=0, description="classifier-free guidance scale")
    width: Count = Field(512, description="pixels")
    height: Count = Field(512, description="pixels")
    negative_prompt: str = Field("worst quality, low quality, bad anatomy", description="what not to draw")
    proxies_per_batch: Count = Field(5, description="images drawn together; halved when memory runs out")
