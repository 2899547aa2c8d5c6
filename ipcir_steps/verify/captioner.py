"""Judge (a): the likelihood of the target captions given the candidate, against their likelihood without an image."""

import functools
import math
from collections import Counter
from collections.abc import Sequence

from ipcir_steps.config.vision import Captions
from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import digest
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.verify.asked import Asked, Pictures


class Captioner:
    """Log-odds = ln sum_c n_c exp(log p(c | candidate) - log p(c | blank)) / sum_c n_c, c the different target captions
    and n_c how often each was written.

    That is the likelihood ratio of a caption drawn from the target captions. Without the blank, a caption that is
    likely with any image (a short one) would decide alone. The blank is an image whose pixels all have the mean value:
    the model reads it through the same path, whereas no BLIP-2 was ever trained on text without an image.
    """

    together = False

    def __init__(self, manifest: Manifest, settings: Captions):
        self.digest = digest(["captioner", manifest.digest, settings.prompt, settings.dtype])
        self._path, self._settings = manifest.path, settings

    @functools.cached_property
    def _likelihood(self):
        from ipcir_steps.verify.likelihood import Likelihood

        return Likelihood(self._path, self._settings)

    def request(self, asked: Asked, pictures: Pictures) -> list:
        if not asked.captions:
            raise StepFailure("no target captions")
        return sorted(Counter(asked.captions).items())

    def values(self, asked: Asked, names: Sequence[str], pictures: Pictures) -> list[float | StepFailure]:
        """One candidate at a time, with all its captions as one batch: no judgement depends on the other candidates."""
        counted = self.request(asked, pictures)
        return [self._value(name, counted, pictures) for name in names]

    def _value(self, name: str, counted: list, pictures: Pictures) -> float | StepFailure:
        try:
            image = pictures.open(name)
        except StepFailure as failure:
            return failure
        captions = tuple(caption for caption, _ in counted)
        seen, blank = self._likelihood.of(image, captions), self._likelihood.blank(image, captions)
        return pooled((seen - blank).tolist(), [number for _, number in counted])


def pooled(ratios: Sequence[float], counts: Sequence[int]) -> float:
    """ln of the mean of exp(ratio), each counted so many times.

    >>> round(pooled([0.0, 100.0], [1, 1]) - (100 - math.log(2)), 9)
    0.0
    """
    most = max(ratios)
    mean = math.fsum(n * math.exp(r - most) for r, n in zip(ratios, counts, strict=True)) / sum(counts)
    return most + math.log(mean)
