"""The configuration: pydantic models from which the default config.yaml and its JSON schema are generated."""

import difflib
import json
import re

import pydantic

from ipcir_steps.config.base import Count, Section
from ipcir_steps.config.baselines import BASELINES, LDRE, MAPPED, CustomBaseline, CustomEntry, Inversion
from ipcir_steps.config.data import Backbone, Dataset, Model, Name
from ipcir_steps.config.defaults import BACKBONES, DATASETS, MAPPINGS, MODELS
from ipcir_steps.config.figures import Figures, Sensitivity
from ipcir_steps.config.generation import Proxies
from ipcir_steps.config.language import Layouts, Reasoning
from ipcir_steps.config.retrieval import Fusion, Ranking, Tuning
from ipcir_steps.config.vision import Captions, Embeddings, Masks
from ipcir_steps.core.errors import InputError

Field = pydantic.Field

# Keys of earlier versions, by their last part.
RENAMED = {
    "format": "benchmark",
    "balance": "lambda",
    "own_baselines": "custom_baselines",
    "precision": "dtype",
    "chat": "llm",
}


class Config(Section):
    """Settings of the IP-CIR workflow. Every key is optional; the defaults run the embedded mini world."""

    seed: int = Field(2025, ge=0, description="seed of everything that is drawn by chance")
    strict: bool = Field(False, description="end with an error when any query failed")
    shards: Count = Field(2, description="parts that long steps are split into; the results never depend on it")
    run: list[Name] = Field(["mini_cirr", "mini_circo", "mini_fashioniq"], description="datasets of the target `all`")
    backbones: list[Name] = Field(["mini"], min_length=1, description="CLIP backbones to evaluate, of clip below")
    baselines: list[Name] = Field(["ldre"], min_length=1, description=f"text baselines: {', '.join(BASELINES)}")
    custom_baselines: dict[Name, CustomEntry] = Field(
        {},
        description="your own by name: {function: package.module:function, settings: {…}}, a safetensors file "
        "({dataset}, {split}, {backbone}) in place of a function, or just one of the two as text",
    )
    datasets: dict[Name, Dataset] = Field(DATASETS, description="datasets by name")
    models: dict[Name, Model] = Field(MODELS, description="models by the role that they play")
    clip: dict[Name, Backbone] = Field(BACKBONES, description="CLIP backbones by name")
    mini_weights: str | None = Field(
        None, description="directory of the mini models' weights: resources/mini/weights trains them; none: as shipped"
    )
    mappings: dict[Name, dict[Name, Model]] = Field(
        MAPPINGS, description=f"mapping networks by baseline ({', '.join(MAPPED)}) and backbone"
    )
    captions: Captions = Field(Captions(count=5, max_new_tokens=40), description="source captions (BLIP-2)")
    reasoning: Reasoning = Field(
        Reasoning(prompt="mini_reasoning", temperature=0.3, max_new_tokens=40),
        description="target captions (chat model)",
    )
    layouts: Layouts = Field(
        Layouts(prompt="mini_layouts", captions=1, temperature=0.3, max_instances=2, max_text=80, max_new_tokens=256),
        description="layouts (chat model)",
    )
    masks: Masks = Field(Masks(), description="reference-instance masks (Grounding DINO, SAM)")
    proxies: Proxies = Field(
        Proxies(generator="migc", width=64, height=64, steps=10, guidance=3.0, migc_steps=4),
        description="imagined proxy images",
    )
    embeddings: Embeddings = Field(Embeddings(), description="CLIP features")
    ldre: LDRE = Field(LDRE(), description="LDRE's caption ensemble")
    searle_oti: Inversion = Field(
        Inversion(steps=20), description="SEARLE-OTI: the word of each reference is optimised"
    )
    fusion: Fusion = Field(Fusion(), description="robust proxy, eq. 1")
    ranking: Ranking = Field(Ranking(), description="similarity balance, eq. 2, and search")
    tuning: Tuning = Field(Tuning(), description="lambda chosen on another dataset's labelled split (tuned_on)")
    sensitivity: Sensitivity = Field(Sensitivity(), description="settings tried around the configured ones")
    figures: Figures = Field(Figures(), description="figures that show queries, and the query browser")
    resamples: Count = Field(2000, description="bootstrap resamples of the 95 % intervals")

    @pydantic.model_validator(mode="after")
    def _references(self) -> "Config":
        for key, names, known in (
            ("run", self.run, self.datasets),
            ("backbones", self.backbones, self.clip),
            ("baselines", self.baselines, [*BASELINES, *self.custom_baselines]),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{key}: unknown name {name!r}{_nearest(name, known)}")
        for name in self.custom_baselines:
            if name in BASELINES:
                raise ValueError(f"custom_baselines: {name!r} is the name of a shipped baseline")
        for name, dataset in self.datasets.items():
            if dataset.tuned_on and dataset.tuned_on not in self.datasets:
                near = _nearest(dataset.tuned_on, self.datasets)
                raise ValueError(f"datasets.{name}.tuned_on: unknown name {dataset.tuned_on!r}{near}")
        for baseline in set(self.baselines) & set(MAPPED):
            for backbone in self.backbones:
                if backbone not in self.mappings.get(baseline, {}):
                    raise ValueError(f"mappings: {baseline} needs a mapping network for backbone {backbone!r}")
        missing = [role for role in MODELS if role not in self.models]
        if missing:
            raise ValueError(f"models: the role {missing[0]!r} is not set")
        return self


def _nearest(name: str, known) -> str:
    close = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(map(str, known))})"


def load_config(values: dict, file: str = "config.yaml") -> Config:
    """Validate. Raises InputError naming the key, the value and the nearest valid name.

    The catalogues (datasets, models, clip, and mappings of each baseline) extend the built-in entries; all other keys
    replace.
    """
    values = dict(values)
    for key, builtin in (("datasets", DATASETS), ("models", MODELS), ("clip", BACKBONES)):
        if isinstance(values.get(key), dict):
            values[key] = {**plain(builtin), **values[key]}
    if isinstance(mappings := values.get("mappings"), dict):
        extended = {
            name: {**plain(MAPPINGS.get(name, {})), **entry} if isinstance(entry, dict) else entry
            for name, entry in mappings.items()
        }
        values["mappings"] = {**plain(MAPPINGS), **extended}
    try:
        return Config.model_validate_json(json.dumps(values))
    except pydantic.ValidationError as error:
        raise InputError(_explain(error.errors()[0]), file=file) from error


def plain(value):
    """Sections, and dictionaries of them, as what a user would write."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return value.model_dump(mode="json", exclude_unset=True)


def _explain(error: dict) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        if error["loc"][-1] in RENAMED:
            return f"key '{key}' is now called '{RENAMED[error['loc'][-1]]}'"
        return f"unknown key '{key}' (value {error['input']!r}){_nearest(error['loc'][-1], _keys(error['loc'][:-1]))}"
    if error["type"] == "literal_error":
        known = re.findall(r"'([^']+)'", error["ctx"]["expected"])
        return f"key '{key}': {error['input']!r} is not allowed{_nearest(error['input'], known)}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return f"key '{key}' is missing"
    return f"key '{key}': {error['msg'][0].lower()}{error['msg'][1:]}, but the value is {error['input']!r}"


def _keys(path: tuple) -> list[str]:
    """The valid keys of the section at ``path``."""
    section, catalogue = Config, {"datasets": Dataset, "models": Model, "clip": Backbone, "mappings": Model}
    catalogue["custom_baselines"] = CustomBaseline
    for depth, part in enumerate(path):
        if depth == 0 and part in catalogue:
            section = catalogue[part]
        elif depth == 0:
            section = section.model_fields[part].annotation
    return [field.alias or name for name, field in section.model_fields.items()]


def section_json(config: Config, name: str, entry: str | None = None) -> str:
    """A section (or a catalogue's entry) as canonical JSON: what a rule passes with ``--settings``."""
    section = getattr(config, name)
    section = section if entry is None else section[entry]
    return canonical(section.model_dump(mode="json"))


def canonical(value) -> str:
    """JSON text that is the same for the same value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
