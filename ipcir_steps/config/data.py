"""Settings of datasets, models and backbones."""

from typing import Annotated, Literal

from pydantic import Field

from ipcir_steps.config.base import Fraction, Section

FORMATS = ("cirr", "circo", "fashioniq", "folder")


class Dataset(Section):
    """One benchmark, or a folder of images with a CSV of queries."""

    format: Literal["cirr", "circo", "fashioniq", "folder"] = Field(description="on-disk layout and scoring protocol")
    root: str = Field(description="directory of the dataset; every image lies below it")
    split: str = Field("val", description="split whose metrics are computed (folder: any name)")
    hidden_split: str | None = Field(None, description="split without targets, for the server's submission files")
    queries: str | None = Field(None, description="folder only: CSV with columns reference, caption[, targets, id]")
    exclude_reference: bool = Field(description="remove the reference from its own ranking (published: CIRR only)")
    balance: Fraction = Field(description="lambda of eq. 2: 1 trusts the text alone, 0 the product with the proxy")
    tuned_on: str | None = Field(
        None, description="dataset on whose labelled split each variant's lambda is chosen, in place of balance"
    )
    missing_images: Literal["error", "skip"] = Field(
        "error", description="error: stop; skip: leave out, count as failures, write a coverage report"
    )


class Model(Section):
    """Where a model comes from. It is always loaded from disk; only `snakemake prefetch` uses the network."""

    source: str = Field(description="hub id, local directory or local file")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="what its digest must be: of the file, or of the manifest's files"
    )
    revision: str | None = Field(
        None, description="commit, tag or branch of the hub repository, required for a hub id; the commit is recorded"
    )


class Backbone(Model):
    """A CLIP model in open_clip's layout, or a weights file plus the name of its architecture."""

    architecture: str | None = Field(None, description="open_clip architecture, where source is a weights file")


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
