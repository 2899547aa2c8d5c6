"""Input functions of the frontier."""

from ipcir_steps.config.frontier import CONFIGURED


def labelled(pattern, **more):
    """Input function: ``pattern`` for the dataset's split with labels."""
    return lambda wildcards: paths.fill(
        pattern, split=dataset_of(wildcards).split, **wildcards, **more
    )


def of_settings(pattern):
    """``pattern`` for every setting of the configuration."""
    return {name: labelled(pattern, setting=name) for name in CONFIG.frontier.settings}


def drawn_names():
    """The settings that are compared, the stack's own first."""
    return (CONFIGURED, *CONFIG.frontier.settings)


def drawn_indices(wildcards):
    """The index of every setting's proxies, in the order of ``drawn_names``."""
    must_draw(wildcards)
    if dataset_of(wildcards).stopping:
        raise WorkflowError(
            f"datasets.{wildcards.dataset}.stopping draws fewer images of some queries; a frontier compares settings "
            "whose images are all there: leave it out"
        )
    configured = labelled(paths.PROXY_INDEX, generator=proxy_directory(wildcards))
    return [
        file(wildcards)
        for file in (configured, *of_settings(paths.DRAWN_INDEX).values())
    ]


def drawn_feature_files(wildcards):
    """The features of every setting's proxies, the stack's own first."""
    files = [
        labelled(paths.PROXY_FEATURES),
        *of_settings(paths.DRAWN_FEATURES).values(),
    ]
    return [file(wildcards) for file in files]


def compared_text(wildcards):
    """The text side, which must be the same whatever is drawn."""
    if plain := CONFIG.joined_to(wildcards.baseline):
        raise WorkflowError(
            f"{wildcards.baseline} has the captions of the stack's own proxies in its text side, so that it says"
            f" nothing of other settings: ask for the frontier of {plain}"
        )
    return labelled(paths.TEXT)(wildcards)


def cost_settings(wildcards):
    """The proxies section and the sources of the models of every setting."""
    found = {}
    for name in drawn_names():
        stack = CONFIG.stack_of(wildcards.dataset, name)
        sources = {role: model.source for role, model in stack.models.items()}
        proxies = stack.proxies.model_dump(mode="json")
        found[name] = {"proxies": proxies, "models": sources}
    return canonical(found)


def frontier_lambda(wildcards):
    """The choice of lambda on another dataset, as ranking has it."""
    found = chosen_lambda(wildcards)
    return paths.fill(found, split=dataset_of(wildcards).split) if found else []


def frontier_options(wildcards, input):
    several = ("drawn", "indices")
    files = {name: file for name, file in input.items() if name not in several}
    named = {
        name: [
            f"{setting}={file}"
            for setting, file in zip(drawn_names(), input[name], strict=True)
        ]
        for name in several
    }
    return options(
        files,
        **named,
        root=dataset_root(wildcards),
        benchmark=dataset_benchmark(wildcards),
        mark=mark(wildcards),
        seed=CONFIG.seed,
        resamples=CONFIG.resamples,
        **lambda_options(wildcards),
    )


def frontier_settings(wildcards):
    sections = {"frontier", "fusion", "ranking"}
    found = CONFIG.model_dump(mode="json", include=sections)
    return canonical({**found.pop("frontier"), **found})
