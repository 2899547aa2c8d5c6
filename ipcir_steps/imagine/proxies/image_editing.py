"""Image editing in the manner of InstructPix2Pix: the relative caption is applied to the reference image."""

from pydantic import Field

from ipcir_steps.config.base import Section
from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.imagine.proxies.generator import Task
from ipcir_steps.imagine.proxies.text_to_image import TextToImage


class ImageEditing(TextToImage):
    """Any diffusers pipeline that takes ``image`` and ``prompt``; its class is read from the model directory.

    Raises ModelError when the directory is no pipeline that diffusers has.
    """

    automatic = None

    class Settings(Section):
        """Values under ``proxies.settings``."""

        true_cfg_scale: float | None = Field(
            None, ge=0, description="FLUX Kontext, Qwen-Image-Edit: guidance with the negative prompt; null: theirs"
        )

    def __init__(self, settings: Proxies, models: dict[str, Manifest], own: Settings):
        super().__init__(settings, models)
        self.own = own

    def draw(self, task: Task):
        images, _ = super().draw(task)
        return images, {"prompt": task.caption}

    def call(self, task: Task, seeds):
        if "num_images_per_prompt" in self.accepted:
            return super().call(task, seeds)
        images = []
        for seed in seeds:
            images += super().call(task, [seed])
        return images

    def extra(self, task: Task, seeds) -> dict:
        """One reference and one caption for all seeds.

        Lists of them mean different things: to FLUX.2 a list of images is several references of one sample, and
        Qwen-Image-Edit Plus refuses a list of prompts.
        """
        size = (self.settings.width, self.settings.height)
        given = {
            "prompt": task.caption,
            "negative_prompt": self.settings.negative_prompt,
            "num_images_per_prompt": len(seeds),
            "image": task.open_reference().resize(size),
            "image_guidance_scale": self.settings.image_guidance,
            "max_area": size[0] * size[1],  # FLUX Kontext scales width and height to this area, 1024 x 1024 by default
        }
        scale = self.own.true_cfg_scale
        return given if scale is None else {**given, "true_cfg_scale": scale}
