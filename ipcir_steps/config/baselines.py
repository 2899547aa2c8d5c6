"""Settings of the baselines: what makes the text side of the similarity."""

from typing import Literal

from pydantic import ConfigDict, Field

from ipcir_steps.config.base import Count, Fraction, Section


class LDRE(Section):
    """LDRE's caption ensemble."""

    method: Literal["published", "ensemble", "mean"] = Field(
        "published", description="published: ensemble on CIRCO, mean elsewhere; ensemble: weighted; mean: CIRR's"
    )
    k: Count = Field(50, description="gallery images summed per caption (LDRE: 5, IP-CIR: 50)")
    temperature: float = Field(0.01, gt=0, description="softmax temperature over captions (LDRE: 0.04, IP-CIR: 0.01)")
    scope: Literal["dataset", "query"] = Field(
        "dataset", description="dataset: weights from the whole query set (published); query: per query"
    )
    increment: float = Field(0.0, ge=0, description="SEIZE's factor on the difference target - source; 0 is LDRE")


class Plain(Section):
    """Baselines that only combine features that are there (image_only, text_only, image_text, cirevl)."""

    batch_size: Count = Field(64, description="texts per batch")


class PseudoWord(Section):
    """A mapping network turns the reference image into a word (SEARLE, LinCIR, Pic2Word)."""

    batch_size: Count = Field(64, description="texts per batch")


class Inversion(PseudoWord):
    """SEARLE-OTI: the word of each reference image is optimised."""

    steps: Count = Field(350, description="optimiser steps per image")
    learning_rate: float = Field(0.02, gt=0, description="AdamW learning rate")
    weight_decay: float = Field(0.01, ge=0, description="AdamW weight decay")
    ema_decay: Fraction = Field(0.99, description="decay of the moving average that is the result")
    image_weight: float = Field(1.0, ge=0, description="weight of the cosine loss against the image feature")
    phrase_weight: float = Field(0.5, ge=0, description="weight of the loss against phrases of similar concepts")
    phrases: str | None = Field(
        None, description="JSON file {concept: [phrases that contain it]}; none: no phrase loss"
    )
    concepts: Count = Field(15, description="similar concepts per image whose phrases are used")
    images_per_batch: Count = Field(8, description="reference images optimised together")


class Custom(Section):
    """Settings of a baseline of one's own: any keys."""

    model_config = ConfigDict(extra="allow")
