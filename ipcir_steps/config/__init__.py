"""The configuration: pydantic models from which the default config.yaml and its JSON schema are generated."""

import dataclasses
import json
import re
import typing
from collections.abc import Sequence

import pydantic

from ipcir_steps.config.base import Count, Section, nearest, plain
from ipcir_steps.config.baselines import BASELINES, MAPPED, CustomEntry
from ipcir_steps.config.data import MINI, Dataset, Name
from ipcir_steps.config.defaults import DATASETS
from ipcir_steps.config.figures import Figures, Sensitivity
from ipcir_steps.config.frontier import CONFIGURED, NOTHING, Frontier
from ipcir_steps.config.proxy_captions import CAPTIONED, ProxyCaptions
from ipcir_steps.config.retrieval import Fusion, RankFusion, Ranking, Tuning
from ipcir_steps.config.stack import Stack, builtin, changes, merged, resolve
from ipcir_steps.config.stopping import check as check_stopping
from ipcir_steps.config.verification import Verify
from ipcir_steps.core.errors import InputError
from ipcir_steps.variants import EXTRA, VARIANTS

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
    """Settings of the IP-CIR workflow. Every key is optional; the target `all` runs the embedded mini world."""

    seed: int = Field(2025, ge=0, description="seed of every random choice")
    strict: bool = Field(False, description="end with an error when any query failed")
    devices: Count | None = Field(
        None,
        description="processes that share a long step, each with its models loaded once and, where there is one, a GPU "
        "of its own; by default 1, and 2 with toy models, which two CPU cores share; the results never depend on it",
    )
    shards: Count = Field(
        1, description="files that each device keeps its part of a long step in; the results never depend on it"
    )
    run: list[Name] = Field(["mini_cirr", "mini_circo", "mini_fashioniq"], description="datasets of the target `all`")
    baselines: list[Name] = Field(["ldre"], min_length=1, description=f"text baselines: {', '.join(BASELINES)}")
    custom_baselines: dict[Name, CustomEntry] = Field(
        {},
        description="your own, by name: {function: package.module:function, settings: {…}}; in place of the function a "
        "safetensors file ({dataset}, {split}, {backbone} are filled in); or either of them alone, as text",
    )
    datasets: dict[Name, Dataset] = Field(DATASETS, description="datasets by name")
    stacks: dict[Name, Stack] = Field(
        default_factory=lambda: _stacks({}),
        description="changes of the built-in stacks (mini, mini_fast, published, modern, laptop), and stacks of your "
        "own; `ipcir config --stack NAME` prints every setting of one",
    )
    mini_weights: str | None = Field(
        None,
        description="directory of the mini models' weights; resources/mini/weights trains them; null: as shipped",
    )
    fusion: Fusion = Field(Fusion(), description="robust proxy, eq. 1")
    ranking: Ranking = Field(Ranking(), description="similarity balance, eq. 2, and search")
    extra_variants: list[typing.Literal[*EXTRA]] = Field(
        [], description=f"variants that are ranked and scored besides the usual ones: {', '.join(EXTRA)}"
    )
    rrf: RankFusion = Field(RankFusion(), description="the extra variant rrf, reciprocal rank fusion")
    tuning: Tuning = Field(Tuning(), description="lambda chosen on another dataset's labelled split (tuned_on)")
    proxy_captions: ProxyCaptions = Field(
        ProxyCaptions(), description="captions of the proxies, which join the text side of a baseline; off by default"
    )
    verify: Verify = Field(Verify(), description="a model looks at the first candidates of every list; off by default")
    sensitivity: Sensitivity = Field(Sensitivity(), description="settings to try around the configured ones")
    figures: Figures = Field(Figures(), description="figures that show queries, and the query browser")
    frontier: Frontier = Field(Frontier(), description="several ways to draw the proxies, retrieval beside cost")
    resamples: Count = Field(2000, description="bootstrap resamples of the 95 % intervals")

    @pydantic.model_validator(mode="after")
    def _references(self) -> "Config":
        for key, names, known in (
            ("run", self.run, self.datasets),
            ("baselines", self.baselines, [*BASELINES, *self.custom_baselines, *self.proxy_captions.joined]),
            (
                "proxy_captions.joined",
                [joined.baseline for joined in self.proxy_captions.joined.values()],
                [*BASELINES, *self.custom_baselines],
            ),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{key}: unknown name {name!r}{nearest(name, known)}")
        for name in self.custom_baselines:
            if name in BASELINES:
                raise ValueError(f"custom_baselines: {name!r} is the name of a shipped baseline")
            if CAPTIONED in name:
                raise ValueError(f"custom_baselines: {name!r} is named like a text side of proxy_captions.joined")
        for name, dataset in self.datasets.items():
            if dataset.tuned_on and dataset.tuned_on not in self.datasets:
                near = nearest(dataset.tuned_on, self.datasets)
                raise ValueError(f"datasets.{name}.tuned_on: unknown name {dataset.tuned_on!r}{near}")
            self.verify.judges_for(f"datasets.{name}.lambda.rule", dataset.rule)
            if dataset.stack not in self.stacks:
                near = nearest(dataset.stack, self.stacks)
                raise ValueError(f"datasets.{name}.stack: unknown name {dataset.stack!r}{near}")
            if self.is_foreign(name) and not dataset.toy_models:
                raise ValueError(
                    f"datasets.{name}: stack {dataset.stack!r} has toy models, which know nothing of these images. "
                    "Set another stack (published, modern, laptop), or toy_models: true to run them all the same; "
                    "every output is then marked"
                )
        for name in self.run:
            stack = self.stacks[self.datasets[name].stack]
            for baseline in {self.joined_to(name) or name for name in self.baselines} & set(MAPPED):
                for backbone in stack.backbones:
                    if backbone not in stack.mappings.get(baseline, {}):
                        where = f"stacks.{self.datasets[name].stack}.mappings"
                        raise ValueError(f"{where}: {baseline} needs a mapping network for backbone {backbone!r}")
        return self

    @pydantic.model_validator(mode="after")
    def _drawing(self) -> "Config":
        known = {CONFIGURED, *self.frontier.settings}
        for name in self.frontier.stopping:
            if name not in known:
                raise ValueError(f"frontier.stopping: unknown name {name!r}{nearest(name, known)}")
        for setting in self.frontier.settings:
            where = f"frontier.settings.{setting}"
            if setting in (CONFIGURED, NOTHING):
                raise ValueError(f"{where}: {setting!r} is there in every frontier; choose another name")
            for dataset in self.run:
                try:
                    if self.stack_of(dataset, setting).proxies.generator == NOTHING:
                        raise ValueError(f"{where}: generator {NOTHING!r} is compared in every frontier; leave it out")
                except pydantic.ValidationError as error:
                    raise ValueError(f"{where}: {_explain(error.errors()[0], Stack)}") from error
        check_stopping(self)
        return self

    def joined_to(self, baseline: str) -> str | None:
        """The baseline whose text side the captions of the proxies join under this name; None for other names."""
        found = self.proxy_captions.joined.get(baseline)
        return found.baseline if found else None

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants that a dataset is ranked with where images are drawn."""
        return (*VARIANTS, *dict.fromkeys(self.extra_variants))

    def stack_of(self, dataset: str, setting: str | None = None) -> Stack:
        """The stack that a dataset names; with what a setting of the frontier changes. Raises InputError where there is
        no such setting, or no model that it names."""
        stack = self.stacks[self.datasets[dataset].stack]
        if setting in (None, CONFIGURED):
            return stack
        if setting not in self.frontier.settings:
            raise InputError(f"there is no setting {setting!r}", file="config.yaml", field="frontier.settings")
        point, values = self.frontier.settings[setting], stack.model_dump(mode="json")
        for role, name in point.models.items():
            if name not in stack.models:
                problem = f"the stack has no model {name!r}{nearest(name, stack.models)}"
                raise InputError(problem, file="config.yaml", field=f"frontier.settings.{setting}.models.{role}")
            values["models"][role] = values["models"][name]
        return Stack.model_validate_json(json.dumps(merged(values, {"proxies": point.proxies})))

    def model_of(self, setting: str | None, role: str) -> str:
        """The name, among the models of a stack, of the one that plays a role in a setting of the frontier."""
        point = self.frontier.settings.get(setting or CONFIGURED)
        return point.models.get(role, role) if point else role

    def resolved(self, dataset: str, setting: str | None = None) -> "Resolved":
        """All settings that hold for one dataset: those of its stack, and the others. setting: of the frontier."""
        found = self.with_stack(self.datasets[dataset].stack)
        return dataclasses.replace(found, stack=self.stack_of(dataset, setting)) if setting else found

    def with_stack(self, name: str) -> "Resolved":
        """All settings under one stack. Raises InputError for a stack that there is none of."""
        if name not in self.stacks:
            raise InputError(f"there is no stack {name!r}{nearest(name, self.stacks)}", field="--stack")
        return Resolved(self, name, self.stacks[name])

    def devices_of(self, dataset: str) -> int:
        """How many processes share the long steps of a dataset."""
        return self.devices or (2 if self.stack_of(dataset).has_toys else 1)

    def is_foreign(self, dataset: str) -> bool:
        """Whether toy models are run on images that are not their world's."""
        return self.stack_of(dataset).has_toys and not self.datasets[dataset].root.startswith(f"{MINI}/")

    def identity(self, dataset: str) -> dict:
        """What the results of a dataset were made with: name, digest and toy of its stack, the settings that differ
        from the built-in stack of that name, the mark that every output carries ("" where none is needed), and what is
        read that published results did not read."""
        name = self.datasets[dataset].stack
        stack = self.stacks[name]
        told: dict = {"name": name, "digest": stack.digest, "toy": stack.has_toys}
        if name in builtin():
            original = _stacks({})[name]
            told["changed"] = changes(*(plain(s, full=True) for s in (original, stack)))
        foreign = self.is_foreign(dataset)
        told["mark"] = f"TOY MODELS (stack {name}) on {dataset}: these numbers mean nothing" if foreign else ""
        if self.datasets[dataset].shared_concept:
            told["reads"] = "the queries hold CIRCO's human-written shared_concept, which the published ones do not"
            told["mark"] = "; ".join(filter(None, (told["mark"], told["reads"])))
        return told


@dataclasses.dataclass(frozen=True)
class Resolved:
    """The configuration as one dataset sees it: ``captions``, ``models``, … are its stack's."""

    config: Config
    stack_name: str
    stack: Stack

    def __getattr__(self, name: str):
        return getattr(self.stack if name in Stack.model_fields else self.config, name)


def load_config(values: dict, file: str = "config.yaml") -> Config:
    """Validate. Raises InputError naming the key, the value and the nearest valid name.

    ``datasets`` and ``stacks`` change the built-in entries key by key; all other keys replace.
    """
    values = dict(values)
    if isinstance(values.get("datasets"), dict):
        values["datasets"] = merged(plain(DATASETS), values["datasets"])
    misplaced = [key for key in values if key in Stack.model_fields and key not in Config.model_fields]
    if misplaced:
        key = misplaced[0]
        raise InputError(
            f"key '{key}' belongs to a stack",
            file=file,
            remedy=f"Write it below the stack that it changes, such as stacks: {{published: {{{key}: …}}}}.",
        )
    stacks = values.get("stacks") or {}
    if not isinstance(stacks, dict) or not all(isinstance(entry, dict | None) for entry in stacks.values()):
        raise InputError("key 'stacks' is not a mapping of names to settings", file=file)
    values["stacks"] = resolve(stacks)
    try:
        return Config.model_validate_json(json.dumps(values))
    except pydantic.ValidationError as error:
        raise InputError(_explain(error.errors()[0]), file=file) from error


def _stacks(given: dict) -> dict[str, Stack]:
    return {name: Stack.model_validate_json(json.dumps(values)) for name, values in resolve(given).items()}


def _explain(error: dict, section: type[Section] | None = None) -> str:
    """An error of pydantic in words. section: what was validated; None: the whole configuration."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        if error["loc"][-1] in RENAMED:
            return f"key '{key}' is now called '{RENAMED[error['loc'][-1]]}'"
        *where, name = error["loc"]
        return f"unknown key '{key}' (value {error['input']!r}){nearest(name, _keys(where, section))}"
    if error["type"] == "literal_error":
        known = re.findall(r"'([^']+)'", error["ctx"]["expected"])
        return f"key '{key}': {error['input']!r} is not allowed{nearest(error['input'], known)}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return f"key '{key}' is missing"
    told = f"key '{key}': {error['msg'][0].lower()}{error['msg'][1:]}, but the value is {error['input']!r}"
    if isinstance(error["input"], str) and error["type"] in ("bool_type", "int_type", "float_type"):
        told += ", a text (Snakemake reads what stands in braces behind --config as texts: use --configfile)"
    return told


def _keys(path: Sequence, section: type[Section] | None) -> list[str]:
    """The valid keys of what lies at ``path`` in a section; None: in the configuration."""
    section = section or Config
    for part in path:
        field = getattr(section, "model_fields", {}).get(part)
        # A name in a catalogue, such as datasets.circo, has the keys of the catalogue's entries.
        section = field.annotation if field else section
        while inner := typing.get_args(section):  # {name: section}, a section or null, a section with a validator
            section = inner[1] if typing.get_origin(section) is dict else inner[0]
    return [field.alias or name for name, field in getattr(section, "model_fields", {}).items()]


def section_json(config: Config | Stack, name: str, entry: str | None = None) -> str:
    """A section (or a catalogue's entry) as canonical JSON: what a rule passes with ``--settings``."""
    section = getattr(config, name)
    section = section if entry is None else section[entry]
    return canonical(section.model_dump(mode="json"))


def canonical(value) -> str:
    """JSON text that is the same for the same value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
