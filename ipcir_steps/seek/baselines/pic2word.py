"""Pic2Word (Saito et al., CVPR 2023)."""

import numpy as np

from ipcir_steps.config.baselines import PseudoWord
from ipcir_steps.seek.baselines.inputs import Inputs
from ipcir_steps.seek.baselines.pseudo_words import IM2TEXT, SLOT, compose, mapped_words

PLACEHOLDER = "*"
TEMPLATE = f"a photo of {SLOT} , {{}}"


def text_features(inputs: Inputs, settings: PseudoWord) -> tuple[np.ndarray, set[str]]:
    """The normalised feature of "a photo of * , <caption>"; FashionIQ's captions in the published order, 2 then 1."""
    words, missing = mapped_words(inputs, IM2TEXT)
    texts = [[TEMPLATE.format(" and ".join(query.captions[::-1]))] for query in inputs.queries]
    return compose(inputs, texts, words, PLACEHOLDER, settings.batch_size).numpy(), missing
