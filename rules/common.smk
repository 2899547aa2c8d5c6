"""The validated configuration and the input functions that rules share."""

import json
import os
import shlex
from pathlib import Path

from ipcir_steps.config import canonical, load_config, section_json
from ipcir_steps.config.defaults import BASELINES, MINI
from ipcir_steps.runtime import containers
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import alone
from ipcir_steps.provenance import environment
from ipcir_steps.variants import LADDER, PROXIES, VARIANTS
from snakemake import __version__ as snakemake_version
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

try:
    CONFIG = load_config(config)
except InputError as error:
    raise WorkflowError(str(error))

GENERATOR = CONFIG.proxies.generator.replace(":", ".")


wildcard_constraints:
    dataset="[A-Za-z0-9][A-Za-z0-9_.-]*?",
    split="[A-Za-z0-9_]+",
    backbone="[A-Za-z0-9][A-Za-z0-9_.-]*",
    baseline="[A-Za-z0-9][A-Za-z0-9_.-]*",
    role="[a-z_]+",
    shard=r"\d+",
    step="captions|reasoning|layouts|masks|proxies",
    variant="|".join(VARIANTS),


def dataset_of(wildcards):
    """Settings of the dataset that a path names."""
    if wildcards.dataset not in CONFIG.datasets:
        raise WorkflowError(
            f"config.yaml: no dataset '{wildcards.dataset}' under datasets"
        )
    return CONFIG.datasets[wildcards.dataset]


def dataset_settings(wildcards):
    dataset_of(wildcards)
    return section_json(CONFIG, "datasets", wildcards.dataset)


def dataset_root(wildcards):
    return dataset_of(wildcards).root


def dataset_source(wildcards):
    """What must exist before a dataset can be read: the rendered mini world, or the CSV of a folder."""
    dataset = dataset_of(wildcards)
    if dataset.root.startswith(f"{MINI}/"):
        return f"{MINI}/{Path(dataset.root).relative_to(MINI).parts[0]}"
    return [dataset.queries] if dataset.queries else []


def model_source(source):
    """The rule-made directory that a model lies in, for the models of the mini world."""
    return f"{MINI}/models" if source.startswith(f"{MINI}/") else []


def shards_of(step):
    """Input function: the shard files of a step."""
    return lambda wildcards: expand(
        "results/{dataset}/{split}/shards/{step}/{shard}.jsonl",
        dataset=wildcards.dataset,
        split=wildcards.split,
        step=step,
        shard=range(CONFIG.shards),
    )


def of_metrics_split(pattern, **more):
    """Input function: ``pattern`` for the dataset's split with labels."""
    return lambda wildcards: expand(
        pattern, dataset=wildcards.dataset, split=dataset_of(wildcards).split, **more
    )


def growing(megabytes):
    """Memory that doubles with every attempt."""
    return lambda wildcards, attempt: megabytes * 2 ** (attempt - 1)


STEPS = ["datasets", "captions", "reasoning", "layouts", "masks", "proxies"]


def pins_of(model):
    """The revision and the digest that a model must have, where they are set."""
    pins = {"--revision": model.revision, "--sha256": model.sha256}
    return " ".join(f"{option} {value}" for option, value in pins.items() if value)


def container(family):
    """The local image of a model family, built from containers/{family}.def."""
    return f"containers/{family}.sif"


def embedding_settings(wildcards):
    """The embeddings section, with the architecture of a backbone that is one weights file."""
    update = {"architecture": architecture_of(wildcards)}
    return canonical(
        CONFIG.embeddings.model_copy(update=update).model_dump(mode="json")
    )


def baseline_settings(wildcards):
    """A baseline's own section, where it has one."""
    own = wildcards.baseline in BASELINES and hasattr(CONFIG, wildcards.baseline)
    return section_json(CONFIG, wildcards.baseline) if own else "{}"


def baseline_name(wildcards):
    """The name of a baseline; of your own, the function or the file of this dataset and backbone."""
    name = CONFIG.custom_baselines.get(wildcards.baseline, wildcards.baseline)
    return expand(name, **wildcards)[0]


def baseline_files(wildcards):
    """Files a baseline is made of or reads: a change makes its results again."""
    name = baseline_name(wildcards)
    if name.endswith(".safetensors"):
        return name
    if ":" in name:
        source = Path(*name.partition(":")[0].split(".")).with_suffix(".py")
        return str(source) if source.is_file() else []
    if name == "searle_oti" and CONFIG.searle_oti.phrase_weight:
        return CONFIG.searle_oti.phrases or []
    return []


def architecture_of(wildcards):
    """The architecture of a backbone that is one weights file; None where its directory says it."""
    return (
        CONFIG.clip[wildcards.backbone].architecture or CONFIG.embeddings.architecture
    )


def exclude_reference(wildcards):
    return "--exclude-reference" if dataset_of(wildcards).exclude_reference else ""


def tuned_balance(wildcards):
    """The choice of lambda on the dataset that this one is tuned on; nothing where lambda is set."""
    name = dataset_of(wildcards).tuned_on
    if name is None:
        return []
    split = CONFIG.datasets[name].split
    return (
        f"results/{name}/{split}/{wildcards.backbone}/{wildcards.baseline}/balance.json"
    )


def balance_option(wildcards):
    chosen = tuned_balance(wildcards)
    return (
        f"--balance {chosen}"
        if chosen
        else f"--lambda {dataset_of(wildcards).lambda_of(wildcards.backbone)}"
    )


def results_settings(wildcards):
    return canonical({"seed": CONFIG.seed, "resamples": CONFIG.resamples})


def mapping_of(wildcards):
    """Manifest of the mapping network that a pseudo-word baseline needs."""
    if wildcards.baseline in CONFIG.mappings:
        return f"resources/manifests/mappings/{wildcards.baseline}/{wildcards.backbone}.json"
    return []


def mapping_manifests():
    """Manifests of the mapping networks that the configured baselines need."""
    baselines = [name for name in CONFIG.baselines if name in CONFIG.mappings]
    return expand(
        "resources/manifests/mappings/{baseline}/{backbone}.json",
        baseline=baselines,
        backbone=CONFIG.backbones,
    )


def dataset_reports():
    """Coverage reports of every split of the configured datasets."""
    splits = [
        (name, split)
        for name in CONFIG.run
        for split in (CONFIG.datasets[name].split, CONFIG.datasets[name].hidden_split)
        if split
    ]
    return [f"results/{name}/{split}/coverage.json" for name, split in splits]


def mapping_model(wildcards):
    return CONFIG.mappings[wildcards.baseline][wildcards.backbone]


def generator_roles():
    """Models beside the diffusion model that the generator uses, where they are configured."""
    roles = (
        ["migc", "elite_global", "elite_local", "vision"] if GENERATOR == "migc" else []
    )
    return [role for role in roles if role in CONFIG.models] + (
        ["detector"] if CONFIG.proxies.redraws else []
    )


def generator_parts(wildcards):
    statistics = CONFIG.proxies.statistics
    return [
        *(f"resources/manifests/{role}.json" for role in generator_roles()),
        *([statistics] if statistics else []),
    ]


def generator_options(wildcards):
    return " ".join(
        f"--{role.replace('_', '-')} resources/manifests/{role}.json"
        for role in generator_roles()
    )


def of_hidden_split(pattern):
    """Input function: ``pattern`` for the dataset's split without labels."""

    def paths(wildcards):
        split = dataset_of(wildcards).hidden_split
        if split is None:
            raise WorkflowError(
                f"datasets.{wildcards.dataset} has no hidden_split: nothing to submit"
            )
        return pattern.format(split=split, **wildcards)

    return paths


def submission_inputs():
    ranked = "results/{dataset}/{split}/{backbone}/{baseline}/{variant}"
    return {
        "rankings": of_hidden_split(f"{ranked}.rankings.parquet"),
        "subset": of_hidden_split(f"{ranked}.subset.parquet"),
        "queries": of_hidden_split("results/{dataset}/{split}/queries.jsonl"),
        "gallery": of_hidden_split("results/{dataset}/{split}/gallery.jsonl"),
    }


def llm(step):
    """The chat model's manifest; nothing where a server answers."""
    return (
        []
        if getattr(CONFIG, step).backend == "openai"
        else "resources/manifests/llm.json"
    )


def braced(text):
    """Text for a place where Snakemake fills in fields."""
    return text.replace("{", "{{").replace("}", "}}")


def begin():
    """Keep a second run out of this directory, and stale images out of this run.

    The lock ends with this process, however it ends.
    """
    global RUN_LOCK
    try:
        RUN_LOCK = alone(".snakemake/run.lock")
        if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
            containers.refuse_stale()
    except InputError as error:
        raise WorkflowError(str(error))


def run_description():
    """What the record of a step tells about the run: configuration files and overrides, code revision, Snakemake."""
    commit, dirty = environment.revision(Path(workflow.basedir))
    commit, dirty = (commit, dirty) if commit else environment.revision()
    given = workflow.config_settings
    files = ["config.yaml", *(os.path.relpath(path) for path in given.configfiles)]
    return json.dumps(
        {
            "configfiles": files,
            "overrides": dict(given.config),
            "revision": commit,
            "dirty": dirty,
            "snakemake": snakemake_version,
        },
        default=str,
    )


SWEEPS = ["fig5", "fig7", "fig8", "heatmap"]
QUERY_FIGURES = ["fig3", "fig4", "fig6", "layouts", "failures"]


def of_run(pattern, **more):
    """``pattern`` for the labelled split of every dataset of the run."""
    return [
        path
        for name in CONFIG.run
        for path in expand(
            pattern, dataset=name, split=CONFIG.datasets[name].split, **more
        )
    ]


def example_inputs():
    """Input functions of the figures that show queries: the first backbone and baseline of the configuration."""
    split = "results/{dataset}/{split}"
    ranked = f"{split}/{CONFIG.backbones[0]}/{CONFIG.baselines[0]}"
    names = {
        "queries": "queries",
        "gallery_images": "gallery",
        "references": "references",
        "source_captions": "source_captions",
        "target_captions": "target_captions",
        "layouts": "layouts",
        "index": f"proxies/{GENERATOR}/index",
        "failures": "failures",
    }
    files = {
        name: of_metrics_split(f"{split}/{file}.jsonl") for name, file in names.items()
    }
    shown = of_metrics_split(
        f"{ranked}/{{variant}}.rankings.parquet",
        variant=LADDER,
    )
    return files | {"rankings": shown}


def example_options(wildcards, input):
    """The options of ipcir figures and ipcir gallery for these inputs."""
    dataset = dataset_of(wildcards)
    options = [
        f"--{name.replace('_', '-')} {' '.join(files) if isinstance(files, list) else files}"
        for name, files in input.items()
    ]
    images = f"results/{wildcards.dataset}/{dataset.split}/proxies/{GENERATOR}"
    root = shlex.quote(dataset.root)
    return " ".join([*options, f"--root {root} --proxy-images {images}"])


def quoted(wildcards):
    """What the captions of the report quote of the configuration."""
    name = getattr(wildcards, "dataset", None)
    names = [name] if name else CONFIG.run
    return {
        "datasets": {
            name: CONFIG.datasets[name].model_dump(mode="json") for name in names
        },
        "fusion": CONFIG.fusion.model_dump(mode="json"),
        "proxies": CONFIG.proxies.model_dump(mode="json"),
        "sensitivity": CONFIG.sensitivity.model_dump(mode="json"),
        "backbones": CONFIG.backbones,
        "baselines": CONFIG.baselines,
        "resamples": CONFIG.resamples,
        "seed": CONFIG.seed,
    }
