"""What every paper compares with: the image alone, the text alone, and their sum."""

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
    return _normalize(image + text), missing


def _normalize(values) -> np.ndarray:
    values = np.asarray(values, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
