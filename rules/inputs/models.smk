"""Input functions of the models."""


def made_by_rule(model):
    """Input function: the directory, made by a rule, that a model of the mini world lies in."""
    return lambda wildcards: (
        f"{MINI}/models" if model(wildcards).source.startswith(f"{MINI}/") else []
    )


def model_options(model):
    """Source, and the revision and digest that the model must have, where they are set."""
    return lambda wildcards, input: options(
        {},
        source=model(wildcards).source,
        revision=model(wildcards).revision,
        sha256=model(wildcards).sha256,
    )


def mapping_manifests():
    """Manifests of the mapping networks that the configured baselines need."""
    baselines = [name for name in CONFIG.baselines if name in CONFIG.mappings]
    return expand(
        paths.MAPPING_MANIFEST,
        baseline=baselines,
        backbone=CONFIG.backbones,
    )


def llm_manifest(step):
    """The language model's manifest; nothing where a server answers."""
    return [] if step.backend == "openai" else manifest("llm")
