"""Input functions of the proxies: what the configured generator needs."""

from ipcir_steps.runtime.preflight import made_of_coco

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
    """The box statistics that boxes are nudged by: in place, or made by a rule; the preflight names missing ones."""
    path = stack_of(wildcards).proxies.statistics
    return path if path and (Path(path).is_file() or made_of_coco(path)) else []


def proxies_options(wildcards, input):
    images = paths.PROXY_IMAGES.format(generator=generator_of(wildcards), **wildcards)
    return options(input, root=dataset_root(wildcards), images=images)
