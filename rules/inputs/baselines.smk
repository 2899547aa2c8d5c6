"""Input functions of the baselines."""


def baseline_name(wildcards):
    """The name of a baseline; of your own, the function or the file of this dataset and backbone."""
    custom = CONFIG.custom_baselines.get(wildcards.baseline)
    return expand(custom.function if custom else wildcards.baseline, **wildcards)[0]


def baseline_files(wildcards):
    """Files a baseline is made of or reads: a change makes its results again."""
    name = baseline_name(wildcards)
    if name.endswith(".safetensors"):
        return name  # made by another rule, or by hand
    if ":" in name:
        source = plugins.source(name)
        return str(source) if source else []
    inversion = stack_of(wildcards).searle_oti
    if name == "searle_oti" and inversion.phrase_weight:
        return inversion.phrases or []
    return []


def mapping_of(wildcards):
    """Manifest of the mapping network that a pseudo-word baseline needs."""
    if wildcards.baseline in stack_of(wildcards).mappings:
        return of_stack(paths.MAPPING_MANIFEST)(wildcards)
    return []


def sees_images(wildcards):
    """Whether a baseline reads the reference images themselves."""
    return getattr(BASELINES.get(wildcards.baseline), "sees", False)


def images_of(wildcards):
    """The reference images, for a baseline that reads them."""
    return paths.REFERENCES.format(**wildcards) if sees_images(wildcards) else []


def baseline_settings(wildcards):
    """A baseline's own section, where it has one; of your own, its settings."""
    custom = CONFIG.custom_baselines.get(wildcards.baseline)
    if custom:
        return canonical(custom.settings)
    stack = stack_of(wildcards)
    own = wildcards.baseline in BASELINES and hasattr(stack, wildcards.baseline)
    return section_json(stack, wildcards.baseline) if own else "{}"


def baseline_keys(wildcards):
    """What the rule takes from the configuration."""
    if wildcards.baseline in CONFIG.custom_baselines:
        section = "custom_baselines.{baseline}"
    else:
        section = "stack.{baseline}"
    root = ["datasets.{dataset}.root"] if sees_images(wildcards) else []
    return ["seed", "datasets.{dataset}.benchmark", section, *root, *ARCHITECTURE]


def baseline_options(wildcards, input):
    return options(
        input,
        root=dataset_root(wildcards) if sees_images(wildcards) else None,
        benchmark=dataset_benchmark(wildcards),
        architecture=architecture_of(wildcards),
    )
