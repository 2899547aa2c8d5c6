"""The validated configuration, and what rules of several files share: constraints, memory, containers, options."""

import json
import os
import shlex
from pathlib import Path

from ipcir_steps.config import canonical, load_config, section_json
from ipcir_steps.config.baselines import BASELINES
from ipcir_steps.config.data import MINI
from ipcir_steps.core import paths
from ipcir_steps.core import plugins
from ipcir_steps.core.errors import InputError
from ipcir_steps.steps import SHARDED
from ipcir_steps.variants import LADDER, METHOD, PROXIES, UNDRAWN
from ipcir_steps.variants import VARIANTS as USUAL
from ipcir_steps.variants import card_of, verified_name
from snakemake.exceptions import WorkflowError

try:
    CONFIG = load_config(config)
except InputError as error:
    raise WorkflowError(str(error))
VARIANTS = CONFIG.variants  # of a dataset whose generator draws


wildcard_constraints:
    dataset="[A-Za-z0-9][A-Za-z0-9_.-]*?",
    split="[A-Za-z0-9_]+",
    setting="[A-Za-z_][A-Za-z0-9_]*",
    backbone="[A-Za-z0-9][A-Za-z0-9_.-]*",
    baseline="[A-Za-z0-9][A-Za-z0-9_.-]*",
    role="[a-z_]+",
    stack="[A-Za-z0-9][A-Za-z0-9_.-]*",
    generator=r"[A-Za-z_][\w.]*",
    device=r"\d+",
    round=r"\d+",
    shard=r"\d+",
    step="|".join(["datasets", *SHARDED]),
    proxy="|".join(PROXIES),
    variant="|".join([*VARIANTS, *map(verified_name, VARIANTS)]),


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
    """Memory that doubles with every attempt. The numbers were measured at the size of CIRCO: docs/rehearsal.md."""
    return lambda wildcards, attempt: megabytes * 2 ** (attempt - 1)


def container(family):
    """The local image of a model family, built from containers/{family}.def."""
    return f"containers/{family}.sif"


def dataset_of(wildcards):
    """Settings of the dataset that a path names."""
    if wildcards.dataset not in CONFIG.datasets:
        raise WorkflowError(
            f"config.yaml: no dataset '{wildcards.dataset}' under datasets (known: {', '.join(CONFIG.datasets)})"
        )
    return CONFIG.datasets[wildcards.dataset]


def stack_of(wildcards):
    """The stack of the dataset, or the one, that a path names; with what a setting of the frontier changes."""
    if hasattr(wildcards, "stack"):
        if wildcards.stack not in CONFIG.stacks:
            raise WorkflowError(f"config.yaml: no stack '{wildcards.stack}'")
        return CONFIG.stacks[wildcards.stack]
    dataset_of(wildcards)
    try:
        return CONFIG.stack_of(wildcards.dataset, setting_of(wildcards))
    except InputError as error:
        raise WorkflowError(str(error))


def setting_of(wildcards):
    """The setting of the frontier that a path names; None: what the stack itself draws."""
    return getattr(wildcards, "setting", None)


def stack_settings(section):
    """Function of the wildcards: a section of the dataset's stack, as ``--settings`` takes it."""
    return lambda wildcards: section_json(stack_of(wildcards), section)


def of_stack(pattern):
    """Input function: ``pattern`` for the dataset's stack."""
    return lambda wildcards: pattern.format(
        stack=dataset_of(wildcards).stack, **wildcards
    )


def manifest(role):
    """Input function: the manifest of the model that plays a role in the dataset's stack."""
    return of_stack(paths.fill(paths.MANIFEST, role=role))


def mark(wildcards):
    """What every output of a dataset carries that is not meant for its models."""
    return CONFIG.identity(wildcards.dataset)["mark"] or None


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
    """``pattern`` for the labelled split and the backbones of every dataset of the run."""
    return [
        path
        for name in CONFIG.run
        for path in expand(
            pattern,
            dataset=name,
            split=CONFIG.datasets[name].split,
            backbone=CONFIG.stack_of(name).backbones,
            **more,
        )
    ]
