"""Input functions of the models."""


def made_by_rule(model):
    """Input function: the directory, made by a rule, that a model of the mini world lies in."""
    return lambda wildcards: (
        f"{MINI}/models" if model(wildcards).source.startswith(f"{MINI}/") else []
    )


def model_options(model):
    """Source and pins of a model, and where its files go: stacks that take the same one share them."""

    def of(wildcards, input):
        chosen = model(wildcards)
        place = "--".join(filter(None, (*chosen.source.split("/"), chosen.file)))
        return options(
            {},
            **chosen.model_dump(mode="json", exclude={"architecture"}),
            directory=f"{paths.MODELS}/{place}@{chosen.revision or 'local'}",
        )

    return of


def prefetched():
    """Manifests of every model that the datasets of the run need."""
    found = []
    for name in dict.fromkeys(CONFIG.datasets[name].stack for name in CONFIG.run):
        stack = CONFIG.stacks[name]
        mapped = [name for name in CONFIG.baselines if name in stack.mappings]
        known = {"stack": name, "backbone": stack.backbones}
        found += expand(paths.MANIFEST, role=stack.models, **known)
        found += expand(paths.CLIP_MANIFEST, **known)
        found += expand(paths.MAPPING_MANIFEST, baseline=mapped, **known)
    return found


def llm_manifest(step):
    """Input function: the language model's manifest; nothing where a server answers."""
    return lambda wildcards: (
        []
        if getattr(stack_of(wildcards), step).backend == "openai"
        else manifest("llm")(wildcards)
    )
