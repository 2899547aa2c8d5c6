"""Image editing in the manner of InstructPix2Pix: the relative caption is applied to the reference image."""

from ipcir_steps.imagine.proxies.generator import Task
from ipcir_steps.imagine.proxies.text_to_image import TextToImage


class ImageEditing(TextToImage):
    """Any diffusers pipeline that takes ``image`` and ``prompt``; its class is read from the model directory."""

    automatic = None

    def draw(self, task: Task):
        images, _ = super().draw(task)
        return images, {"prompt": task.caption}

    def extra(self, task: Task, seeds) -> dict:
        reference = task.open_reference().resize((self.settings.width, self.settings.height))
        return {
            "prompt": [task.caption] * len(seeds),
            "image": [reference] * len(seeds),
            "image_guidance_scale": self.settings.image_guidance,
        }
