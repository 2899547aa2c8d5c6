"""Input functions of the proxies: what the configured generator needs."""


def generator_roles():
    """Models beside the diffusion model that the generator uses, where they are configured."""
    roles = (
        ["migc", "elite_global", "elite_local", "vision"] if GENERATOR == "migc" else []
    )
    return [role for role in roles if role in CONFIG.models] + (
        ["detector"] if CONFIG.proxies.redraws else []
    )


def proxies_options(wildcards, input):
    images = paths.PROXY_IMAGES.format(generator=GENERATOR, **wildcards)
    return options(input, root=dataset_root(wildcards), images=images)
