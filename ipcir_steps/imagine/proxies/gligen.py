"""GLIGEN: boxes with phrases, by the pipeline in diffusers. References are not used."""

from diffusers import StableDiffusionGLIGENPipeline

from ipcir_steps.core.errors import ModelError
from ipcir_steps.imagine.proxies.generator import Task
from ipcir_steps.imagine.proxies.text_to_image import TextToImage


class GLIGEN(TextToImage):
    """Grounds every instance; the schedule follows GLIGEN's own default (grounding in the first 30 % of the steps)."""

    automatic = StableDiffusionGLIGENPipeline

    def __init__(self, settings, models):
        super().__init__(settings, models)
        if self.pipeline.unet.config.attention_type not in ("gated", "gated-text-image"):
            raise ModelError(f"model '{models['generator'].name}': its U-Net has no gated attention; it is not GLIGEN.")

    def extra(self, task: Task, seeds) -> dict:
        phrases = [(instance.description, instance.box) for instance in task.instances]
        phrases = phrases or [(task.scene, (0.0, 0.0, 1.0, 1.0))]
        return {
            "prompt": task.prompt,
            "negative_prompt": self.settings.negative_prompt,
            "num_images_per_prompt": len(seeds),
            "gligen_phrases": [text for text, _ in phrases],
            "gligen_boxes": [list(box) for _, box in phrases],
        }
