"""Input functions of the proxies: what the configured generator needs."""

GENERATOR_ROLES = ["migc", "elite_global", "elite_local", "vision", "detector"]


def generator_model(role):
    """Input function: the manifest of a model beside the diffusion model, where the generator uses it."""

    def of(wildcards):
        stack = stack_of(wildcards)
        wanted = (
            stack.proxies.redraws
            if role == "detector"
            else stack.proxies.generator == "migc"
        )
        return manifest(role)(wildcards) if wanted and role in stack.models else []

    return of


def statistics_of(wildcards):
    """The box statistics that boxes are nudged by; the preflight names what is missing."""
    statistics = stack_of(wildcards).proxies.statistics
    return statistics if statistics and Path(statistics).is_file() else []


def proxies_options(wildcards, input):
    images = paths.PROXY_IMAGES.format(generator=generator_of(wildcards), **wildcards)
    return options(input, root=dataset_root(wildcards), images=images)
