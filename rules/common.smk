"""The validated configuration, and what rules of several files share: constraints, memory, containers, options."""

import json
import os
import shlex
from pathlib import Path

from ipcir_steps.config import canonical, load_config, section_json
from ipcir_steps.config.baselines import BASELINES
from ipcir_steps.config.defaults import MINI
from ipcir_steps.core import paths
from ipcir_steps.core.errors import InputError
from ipcir_steps.steps import SHARDED
from ipcir_steps.variants import LADDER, PROXIES, VARIANTS
from snakemake.exceptions import WorkflowError

try:
    CONFIG = load_config(config)
except InputError as error:
    raise WorkflowError(str(error))

GENERATOR = CONFIG.proxies.generator.replace(":", ".")
PROXY_INDEX = paths.fill(paths.PROXY_INDEX, generator=GENERATOR)


wildcard_constraints:
    dataset="[A-Za-z0-9][A-Za-z0-9_.-]*?",
    split="[A-Za-z0-9_]+",
    backbone="[A-Za-z0-9][A-Za-z0-9_.-]*",
    baseline="[A-Za-z0-9][A-Za-z0-9_.-]*",
    role="[a-z_]+",
    shard=r"\d+",
    step="|".join(["datasets", *SHARDED]),
    proxy="|".join(PROXIES),
    variant="|".join(VARIANTS),


def options(files, **values):
    """Command-line options: ``--name value`` of every named file and value, and ``--name`` where the value is True.

    What is empty, None or False is left out. Files without a name only have to be there. ``lambda_`` is ``--lambda``.
    """
    words = []
    for name, value in [*files.items(), *values.items()]:
        several = (
            [value]
            if isinstance(value, (str, Path)) or not hasattr(value, "__len__")
            else list(value)
        )
        if value is None or value is False or not several or several == [""]:
            continue
        words.append(f"--{name.rstrip('_').replace('_', '-')}")
        words += [shlex.quote(str(entry)) for entry in several if entry is not True]
    return " ".join(words)


def growing(megabytes):
    """Memory that doubles with every attempt."""
    return lambda wildcards, attempt: megabytes * 2 ** (attempt - 1)


def container(family):
    """The local image of a model family, built from containers/{family}.def."""
    return f"containers/{family}.sif"


def manifest(role):
    """The manifest of the model that plays a role."""
    return paths.MANIFEST.format(role=role)


def dataset_of(wildcards):
    """Settings of the dataset that a path names."""
    if wildcards.dataset not in CONFIG.datasets:
        raise WorkflowError(
            f"config.yaml: no dataset '{wildcards.dataset}' under datasets"
        )
    return CONFIG.datasets[wildcards.dataset]


def dataset_root(wildcards):
    return dataset_of(wildcards).root


def dataset_benchmark(wildcards):
    return dataset_of(wildcards).benchmark


def of_metrics_split(pattern, **more):
    """Input function: ``pattern`` for the dataset's split with labels."""
    return lambda wildcards: expand(
        pattern, dataset=wildcards.dataset, split=dataset_of(wildcards).split, **more
    )


def of_run(pattern, **more):
    """``pattern`` for the labelled split of every dataset of the run."""
    return [
        path
        for name in CONFIG.run
        for path in expand(
            pattern, dataset=name, split=CONFIG.datasets[name].split, **more
        )
    ]


from ipcir_steps.steps import SHARDED
from ipcir_steps.variants import LADDER, PROXIES, VARIANTS
