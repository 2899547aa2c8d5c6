"""CIReVL (Karthik et al., ICLR 2024): one caption, one target caption written by a language model, plain CLIP."""

import numpy as np

from ipcir_steps.config.baselines import Plain
from ipcir_steps.seek.baselines.inputs import Inputs
from ipcir_steps.seek.baselines.simple import _normalize


def text_features(inputs: Inputs, settings: Plain) -> tuple[np.ndarray, set[str]]:
    """The normalised feature of the first target caption of each query."""
    values, missing = inputs.features("target_captions")
    return _normalize(values[:, 0]), missing
