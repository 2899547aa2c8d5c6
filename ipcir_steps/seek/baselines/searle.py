"""SEARLE (Baldrati et al., ICCV 2023): a distilled mapping network makes the pseudo-word."""

import numpy as np

from ipcir_steps.config.baselines import PseudoWord
from ipcir_steps.seek.baselines.inputs import Inputs
from ipcir_steps.seek.baselines.pseudo_words import SLOT, Phi, compose, mapped_words, sentences

PLACEHOLDER = "$"
TEMPLATE = f"a photo of {SLOT} that {{}}"


def text_features(inputs: Inputs, settings: PseudoWord) -> tuple[np.ndarray, set[str]]:
    """The normalised feature of "a photo of $ that <caption>"; FashionIQ: the mean over both caption orders."""
    words, missing = mapped_words(inputs, Phi)
    return compose(inputs, sentences(inputs, TEMPLATE), words, PLACEHOLDER, settings.batch_size).numpy(), missing
