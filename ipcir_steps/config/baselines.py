"""The baselines, one card each, and their settings: what makes the text side of the similarity."""

import dataclasses
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue

from ipcir_steps.config.base import Count, Fraction, Section, later
from ipcir_steps.config.proxy_captions import Joining


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
    """Baselines that only combine features that are there (image_only, text_only, cirevl)."""

    batch_size: Count = Field(64, description="texts per batch")


class Sum(Section):
    """The sum of image and text (image_text)."""

    batch_size: Count = later(64, description="texts per batch")
    parts: Literal["normalised", "raw"] = later(
        "normalised",
        description="normalised: both features count alike; raw: as the model gives them, the longer one counts more",
    )


class Joint(Section):
    """A multimodal language model reads image and text together (joint)."""

    batch_size: Count = Field(8, description="queries per batch")


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
        None, description="JSON file {concept: [phrases that contain it]}; null: no phrase loss"
    )
    concepts: Count = Field(15, description="similar concepts per image whose phrases are used")
    images_per_batch: Count = Field(8, description="reference images optimised together")


class Custom(Section):
    """Settings of a custom baseline whose function declares none: any keys, as attributes."""

    model_config = ConfigDict(extra="allow")

    def get(self, key: str, default=None):
        return getattr(self, key, default)


class CustomBaseline(Section):
    """A baseline that is not shipped."""

    function: str = Field(
        description="package.module:function, or a safetensors file ({dataset}, {split}, {backbone} are filled in)"
    )
    settings: dict[str, JsonValue] = Field({}, description="settings that the function gets as its second argument")


def _named(value):
    """A plain string names the function or the file."""
    return {"function": value} if isinstance(value, str) else value


# As it stands in the configuration: a section, or a plain string where there are no settings.
CustomEntry = Annotated[CustomBaseline, BeforeValidator(_named, json_schema_input_type=str | CustomBaseline)]


@dataclasses.dataclass(frozen=True)
class Baseline:
    """One shipped baseline.

    label: its name in figures and tables. function: below ``ipcir_steps.seek.baselines``.
    settings: its section; the configuration has one of its name where there is more than a batch size to set.
    mapping: it needs a mapping network for each backbone. encodes: it loads the CLIP model to encode texts. sees: it
    reads the reference images themselves.
    """

    name: str
    label: str
    function: str
    settings: type[Section] = Plain
    mapping: bool = False
    encodes: bool = False
    sees: bool = False


_ALL = (
    Baseline("ldre", "LDRE", "ldre:text_features", LDRE),
    Baseline("cirevl", "CIReVL", "cirevl:text_features"),
    Baseline("searle", "SEARLE", "searle:text_features", PseudoWord, mapping=True, encodes=True),
    Baseline("searle_oti", "SEARLE-OTI", "searle_oti:text_features", Inversion, encodes=True),
    Baseline("lincir", "LinCIR", "lincir:text_features", PseudoWord, mapping=True, encodes=True),
    Baseline("pic2word", "Pic2Word", "pic2word:text_features", PseudoWord, mapping=True, encodes=True),
    Baseline("image_only", "image only", "simple:image_only"),
    Baseline("text_only", "text only", "simple:text_only", encodes=True),
    Baseline("image_text", "image + text", "simple:image_text", Sum, encodes=True),
    Baseline("joint", "image and text read together", "joint:text_features", Joint, encodes=True, sees=True),
)
BASELINES = {baseline.name: baseline for baseline in _ALL}
# Joins the captions of the proxies to the text side of one of these; configured as proxy_captions.joined.
CAPTIONED = Baseline("captioned", "proxy captions", "captioned:text_features", Joining)
MAPPED = tuple(baseline.name for baseline in _ALL if baseline.mapping)
