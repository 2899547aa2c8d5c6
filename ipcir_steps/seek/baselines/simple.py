"""What every paper compares with: the image alone, the text alone, and their sum."""

from collections.abc import Sequence

import numpy as np

from ipcir_steps.config.baselines import Plain
from ipcir_steps.seek.baselines.inputs import Inputs


def image_only(inputs: Inputs, settings: Plain) -> tuple[np.ndarray, set[str]]:
    """The reference image's feature, normalised."""
    values, missing = inputs.features("references")
    return _normalize(values), missing


def text_only(inputs: Inputs, settings: Plain) -> tuple[np.ndarray, set[str]]:
    """The relative caption's feature, normalised (FashionIQ: the two captions joined with "and")."""
    texts = [query.caption for query in inputs.queries]
    batches = [texts[start : start + settings.batch_size] for start in range(0, len(texts), settings.batch_size)]
    values = np.concatenate([inputs.encoder.texts(batch).numpy() for batch in batches])
    return _normalize(values), set()


def image_text(inputs: Inputs, settings: Plain) -> tuple[np.ndarray, set[str]]:
    """The normalised sum of the two normalised features."""
    image, missing = image_only(inputs, settings)
    text, _ = text_only(inputs, settings)
    return weighted_sum([image, text], [1, 1]), missing


def weighted_sum(parts: Sequence, weights: Sequence[float]) -> np.ndarray:
    """The normalised sum of normalised ``parts`` [..., D], each times its weight; a negative one pushes away.

    >>> weighted_sum([[2.0, 0.0], [0.0, 5.0]], [3, -4])
    array([ 0.6, -0.8], dtype=float32)
    """
    return _normalize(sum(np.float32(weight) * _normalize(part) for part, weight in zip(parts, weights, strict=True)))


def _normalize(values) -> np.ndarray:
    values = np.asarray(values, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
