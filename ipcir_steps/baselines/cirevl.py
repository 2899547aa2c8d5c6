"""CIReVL (Karthik et al., ICLR 2024): one caption, one target caption written by a language model, plain CLIP."""

import numpy as np

from ipcir_steps.baselines.inputs import Inputs
from ipcir_steps.baselines.simple import _normalize
from ipcir_steps.config.baselines import Plain


def text_features(inputs: Inputs, settings: Plain) -> tuple[np.ndarray, set[str]]:
    """The normalised feature of the first target caption of each query."""
    values, missing = inputs.features("target_captions")
    return _normalize(values[:, 0]), missing
