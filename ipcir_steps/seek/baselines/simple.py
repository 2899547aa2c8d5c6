"""What every paper compares with: the image alone, the text alone, and their sum."""

from collections.abc import Sequence

import numpy as np

from ipcir_steps.config.baselines import Plain, Sum
from ipcir_steps.core.journal import batches
from ipcir_steps.seek.baselines.inputs import Inputs


def image_only(inputs: Inputs, settings: Plain) -> tuple[np.ndarray, set[str]]:
    """The reference image's feature, normalised."""
    values, missing = inputs.features("references")
    return _normalize(values), missing


def text_only(inputs: Inputs, settings: Plain) -> tuple[np.ndarray, set[str]]:
    """The relative caption's feature, normalised (FashionIQ: the two captions joined with "and")."""
    return _normalize(_texts(inputs, settings.batch_size)), set()


def image_text(inputs: Inputs, settings: Sum) -> tuple[np.ndarray, set[str]]:
    """The normalised sum of the two features, normalised before or as they are."""
    image, missing = inputs.features("references")
    text = _texts(inputs, settings.batch_size)
    if settings.parts == "raw":
        return _normalize(image + text), missing
    return weighted_sum([image, text], [1, 1]), missing


def _texts(inputs: Inputs, batch_size: int) -> np.ndarray:
    """The relative captions' features, un-normalised."""
    texts = [query.caption for query in inputs.queries]
    return np.concatenate([inputs.encoder.texts(batch).numpy() for batch in batches(texts, batch_size)])


def weighted_sum(parts: Sequence, weights: Sequence[float]) -> np.ndarray:
    """The normalised sum of normalised ``parts`` [..., D], each times its weight; a negative one pushes away.

    >>> weighted_sum([[2.0, 0.0], [0.0, 5.0]], [3, -4])
    array([ 0.6, -0.8], dtype=float32)
    """
    return _normalize(sum(np.float32(weight) * _normalize(part) for part, weight in zip(parts, weights, strict=True)))


def _normalize(values) -> np.ndarray:
    values = np.asarray(values, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
