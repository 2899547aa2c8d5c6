"""Image preprocessing as in the published baselines (SEARLE, LinCIR, LDRE, IP-CIR)."""

from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor
from torchvision.transforms.functional import pad

# The statistics of OpenAI's CLIP and of open_clip's LAION models.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class TargetPad:
    """Pad a PIL image with black until its sides differ by no more than ``ratio``, whole pixels on both sides."""

    def __init__(self, ratio: float):
        self.ratio = ratio

    def __call__(self, image):
        width, height = image.size
        if max(width, height) / min(width, height) < self.ratio:
            return image
        least = max(width, height) / self.ratio
        horizontal = max(int((least - width) / 2), 0)
        vertical = max(int((least - height) / 2), 0)
        return pad(image, [horizontal, vertical, horizontal, vertical], 0, "constant")


def target_pad_transform(size: int = 224, ratio: float = 1.25, mean=None, std=None) -> Compose:
    """PIL image of any mode → float32 [3, size, size], normalised.

    Pad to the ratio, resize the shorter side bicubically (antialiased), crop the centre. The conversion to RGB
    comes after the resize, as published: it decides how palette and transparent images are interpolated.
    """
    return Compose(
        [
            TargetPad(ratio),
            Resize(size, InterpolationMode.BICUBIC, antialias=True),
            CenterCrop(size),
            lambda image: image.convert("RGB"),
            ToTensor(),
            Normalize(mean or CLIP_MEAN, std or CLIP_STD),
        ]
    )
