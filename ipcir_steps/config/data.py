"""Settings of datasets, models and backbones."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ipcir_steps.config.base import Fraction, Identifier, Name, Section, later
from ipcir_steps.config.stopping import Stopping
from ipcir_steps.core.errors import InputError

# Each is a module of ipcir_steps.benchmarks with a card.
BENCHMARKS = ("cirr", "circo", "fashioniq", "fashioniq_pairs", "genecis", "icir", "pinpoint", "folder")
# Each is a card in ipcir_steps.seek.balance.rules.
RULES = ("matched", "clarity", "spread", "agreed", "overlap", "cohesion", "captions", "judged")
JUDGED = ("judged",)  # those that need a judge,
JUDGED_FIRST = 10  # and of so many first images of either side
MINI = "resources/mini"  # where the mini world and its models are made
MTEB = "mteb:"  # before the name of a model in the package mteb, whose loader then reads a backbone


class Source(Section):
    """What reading a dataset depends on, and nothing else: other settings must not make a run read it again."""

    benchmark: Literal[BENCHMARKS] = Field(
        description=f"whose layout on disk and protocol: {', '.join(BENCHMARKS[:-1])}, or folder for any other images"
    )
    root: str = Field(description="directory of the dataset; every image lies below it")
    queries: str | None = Field(
        None,
        description="folder only: CSV with columns reference, caption[, targets, id, request]; by default queries.csv "
        "in it",
    )
    missing_images: Literal["error", "skip"] = Field(
        "error", description="error: stop; skip: leave out, count as failures, write a coverage report"
    )
    shared_concept: bool = later(
        False,
        description="circo only: the annotators' shared_concept stands before the relative caption; every output says "
        "so",
    )

    @model_validator(mode="after")
    def _concepts_are_circo(self) -> "Source":
        if self.shared_concept and self.benchmark != "circo":
            raise ValueError(f"shared_concept: only circo has it, this is {self.benchmark}")
        return self


class Dataset(Source):
    """One benchmark, or a folder of images with a CSV of queries."""

    split: str = Field(
        "val",
        description="split whose metrics are computed (folder: any name; genecis: a task, or all; icir, pinpoint: all)",
    )
    hidden_split: str | None = Field(None, description="split without targets, for the server's submission files")
    stack: Name = Field(
        "published", description="models and settings: mini, mini_fast, published, modern, laptop, or your own"
    )
    toy_models: bool = Field(False, description="run toy models on images outside their world; every output is marked")
    exclude_reference: bool = Field(description="remove the reference from its own ranking (published: CIRR only)")
    lam: Fraction | dict[Name, Fraction | Literal[RULES]] = Field(
        alias="lambda",
        description="lambda of eq. 2: 1 is the text alone, 0 the product with the proxy; a number, or one per backbone "
        f"and a default; or {{rule: NAME}}, by which each query gets its own: {', '.join(RULES)}",
    )
    subsets: dict[Identifier, str] = Field(
        {},
        description="files of query ids by name, one id a line or a JSON list: results and tables also show "
        "these queries by themselves",
    )
    tuned_on: str | None = Field(
        None, description="dataset on whose labelled split each variant's lambda is chosen, in place of lambda"
    )
    stopping: Stopping | None = later(
        None,
        description="draw the proxies of each query one after another, and no more where its list has settled or its "
        "text is certain; null: all of them at once",
    )

    @field_validator("lam", mode="before")
    @classmethod
    def _rule_or_numbers(cls, value: object) -> object:
        for name, entry in value.items() if isinstance(value, dict) else ():
            if name == "rule" and entry not in RULES:
                raise ValueError(f"lambda.rule: unknown rule {entry!r} (known: {', '.join(RULES)})")
            if name != "rule" and isinstance(entry, str):
                raise ValueError(f"lambda.{name}: {entry!r} is not within [0, 1]")
        return value

    @model_validator(mode="after")
    def _one_choice(self) -> "Dataset":
        if self.rule and self.tuned_on:
            raise ValueError("lambda.rule and tuned_on both choose lambda: leave one of them out")
        return self

    @property
    def rule(self) -> str | None:
        """The rule that gives each query its own lambda; numbers beside it then only serve where one is asked for."""
        return self.lam.get("rule") if isinstance(self.lam, dict) else None

    @property
    def source(self) -> Source:
        """The part of the settings that reading depends on."""
        return Source(**{name: getattr(self, name) for name in Source.model_fields})

    def lambda_of(self, backbone: str) -> float:
        """Lambda for one backbone as a number. Raises InputError when only those of others, or a rule, are given."""
        if not isinstance(self.lam, dict):
            return self.lam
        if backbone not in self.lam and "default" not in self.lam:
            raise InputError(
                f"has no value for backbone {backbone!r}",
                file="config.yaml",
                record=self.root,
                field="lambda",
                remedy=f"Add it or a default beside {', '.join(self.lam)}, or give one value for all.",
            )
        return self.lam.get(backbone, self.lam.get("default"))


class Model(Section):
    """Where a model comes from. It is always loaded from disk; only `snakemake prefetch` uses the network."""

    source: str = Field(description="hub id, local directory or local file")
    file: str | None = Field(None, description="the one file of a hub repository that is the model, such as a GGUF")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="digest that the file, or the manifest of a directory, must have"
    )
    revision: str | None = Field(
        None, description="commit, tag or branch of the hub repository, required for a hub id; the commit is recorded"
    )


class Backbone(Model):
    """A CLIP model in open_clip's layout or in transformers' (CLIP, SigLIP), or a weights file plus the name of its
    architecture."""

    architecture: str | None = Field(
        None,
        description="open_clip architecture, where source is a weights file; mteb:ORG/NAME: read by the loader of that "
        "model in the package mteb",
    )

    @property
    def reader(self) -> str:
        """Who reads it, which decides what of a hub repository is fetched."""
        return "mteb" if (self.architecture or "").startswith(MTEB) else "clip"
