"""Input functions of the models."""

from ipcir_steps.runtime.plan import memory


def sized(step):
    """Memory of a model step, from its models and settings; it doubles with every attempt."""
    return lambda wildcards, attempt: memory.megabytes(
        CONFIG.resolved(wildcards.dataset, setting_of(wildcards)),
        step,
        attempt,
        backbone=getattr(wildcards, "backbone", None),
        baseline=getattr(wildcards, "baseline", None),
    )


def made_by_rule(model):
    """Input function: the directory, made by a rule, that a model of the mini world lies in."""
    return lambda wildcards: (
        f"{MINI}/models" if model(wildcards).source.startswith(f"{MINI}/") else []
    )


def model_options(model, role, dtype=None):
    """Source and pins of a model, what of it is read, and where its files go: the same ones in one place for all stacks.

    role: who reads it; dtype: the precision in which it reads them.
    """

    def of(wildcards, input):
        chosen = model(wildcards)
        reader = getattr(chosen, "reader", None) or role.format(**wildcards)
        precision = dtype and dtype(wildcards)
        place = "--".join(filter(None, (*chosen.source.split("/"), chosen.file)))
        folder = f"{reader}-float32" if precision == "float32" else reader
        return options(
            {},
            **chosen.model_dump(mode="json", exclude={"architecture"}),
            role=reader,
            dtype=precision,
            directory=f"{paths.MODELS}/{folder}/{place}@{chosen.revision or 'local'}",
        )

    return of


def stored_dtype(wildcards):
    """The precision in which a model's weights are read, where a repository may hold more than one."""
    return stack_of(wildcards).proxies.dtype if wildcards.role == "generator" else None


def judging_roles(stack):
    """The model that verifies, where one does."""
    verify = CONFIG.verify
    there = verify.judge and not verify.remote and verify.role in stack.models
    return [verify.role] if there else []


def frontier_models(stack):
    """The models that play a role in a setting of the frontier, and in nothing else."""
    named = (
        model
        for setting in CONFIG.frontier.settings.values()
        for model in setting.models.values()
    )
    return [model for model in named if model in stack.models]


def prefetched():
    """Manifests of every model that the datasets of the run need."""
    found = []
    for name in dict.fromkeys(CONFIG.datasets[name].stack for name in CONFIG.run):
        stack = CONFIG.stacks[name]
        mapped = [name for name in CONFIG.baselines if name in stack.mappings]
        known = {"stack": name, "backbone": stack.backbones}
        roles = [
            *stack.roles_in_use(),
            *judging_roles(stack),
            *frontier_models(stack),
        ]
        found += expand(paths.MANIFEST, role=list(dict.fromkeys(roles)), **known)
        found += expand(paths.CLIP_MANIFEST, **known)
        found += expand(paths.MAPPING_MANIFEST, baseline=mapped, **known)
    return found


def llm_manifest(step):
    """Input function: the language model's manifest; nothing where a server answers."""
    return lambda wildcards: (
        [] if getattr(stack_of(wildcards), step).remote else manifest("llm")(wildcards)
    )
