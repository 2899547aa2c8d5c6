"""The text side of a baseline, joined by what the drawn proxies show in words.

After Paracosm (Wang et al., ECCV 2026, arXiv:2602.00813), which describes the one image that it imagines and adds
the feature of the description to the query. There it joins the feature of the image; here the images stay in S_p of
eq. 2 and the captions join S_t, so that either can be measured without the other.
"""

import numpy as np

from ipcir_steps.config.proxy_captions import Joining
from ipcir_steps.seek.baselines.inputs import Inputs
from ipcir_steps.seek.fusion.recipes import other_queries


def joined(text: np.ndarray, captions: np.ndarray, weight: float) -> np.ndarray:
    """|t| nrm((1 - w) nrm(t) + w mean_c nrm(caption c)), float64 [Q, D].

    text: [Q, D]; captions: [Q, C, D], un-normalised; weight: w in [0, 1]. The mean is not normalised again, so captions
    that contradict each other count less. The length of t stays, so that sums of similarities (``pi``, ``rp``) weigh
    text and proxy as without captions, and w = 0 gives the text as it was. A text of zeros stays zeros.
    """
    text, captions = text.astype(np.float64), captions.astype(np.float64)
    length = np.linalg.norm(text, axis=-1, keepdims=True)
    total = (1 - weight) * unit(text) + weight * unit(captions).mean(1)
    return length * unit(total)


def unit(values: np.ndarray) -> np.ndarray:
    """L2 normalisation over the last axis; zeros stay zeros."""
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.where(length > 0, length, 1)


def text_features(inputs: Inputs, settings: Joining) -> tuple[np.ndarray, set[str]]:
    """The baseline's feature with the captions. A query without captions of its proxies keeps the baseline's."""
    text, missing = inputs.features("text")
    captions, uncaptioned = inputs.features("proxy_captions")
    values = np.array(text, np.float32)
    rows = [row for row, name in enumerate(inputs.ids) if name not in missing | uncaptioned]
    whose = rows
    if settings.others:
        others = other_queries([inputs.ids[row] for row in rows], inputs.seed)
        whose = [rows[other] for other in others]
    if settings.weight:
        values[rows] = joined(values[rows], captions[whose], settings.weight)
    return values, missing
