"""Input functions of the proxies: what the generator of the dataset's stack needs."""

import re

from ipcir_steps.config import generation
from ipcir_steps.runtime.preflight import made_of_coco


def proxy_directory(wildcards):
    """What the directory of a dataset's proxies is called."""
    return stack_of(wildcards).proxies.generator.replace(":", ".")


def proxy_index(wildcards):
    """The index of a dataset's proxies."""
    must_draw(wildcards)
    return paths.PROXY_INDEX.format(generator=proxy_directory(wildcards), **wildcards)


def drawing(wildcards):
    """The card of the generator."""
    try:
        return generation.generator_of(stack_of(wildcards).proxies)
    except InputError as error:
        raise WorkflowError(str(error))


def must_draw(wildcards):
    if not drawing(wildcards).draws:
        raise WorkflowError(
            f"{wildcards.dataset}: its stack has proxies.generator: none, so there are no proxies to look at"
        )


def variants_of(wildcards):
    """The variants that a dataset is ranked with."""
    return VARIANTS if drawing(wildcards).draws else UNDRAWN


def fused_of(wildcards):
    """The fused proxies that they need."""
    found = (card_of(name).proxy for name in variants_of(wildcards))
    return list(dict.fromkeys(filter(None, found)))


def where_drawn(pattern):
    """Input function: ``pattern``, where the generator draws something."""
    return lambda wildcards: (
        expand(pattern, **wildcards) if drawing(wildcards).draws else []
    )


def draws(name):
    """Whether a dataset's generator draws; of one that cannot be read the rules that need it tell what is wrong."""
    try:
        return generation.generator_of(CONFIG.stack_of(name).proxies).draws
    except InputError:
        return True


def undrawn_datasets():
    """Names of the datasets whose generator draws nothing."""
    return [name for name in CONFIG.datasets if not draws(name)]


def stopping_datasets():
    """Names of the datasets whose proxies are drawn in rounds."""
    return [name for name, dataset in CONFIG.datasets.items() if dataset.stopping]


def one_of(names):
    """Regular expression for the wildcard ``dataset``: one of these datasets."""
    return "|".join(map(re.escape, names)) or "(?!)"


def others_than(names):
    """Regular expression for the wildcard ``dataset``: any but these datasets."""
    return rf"(?!(?:{one_of(names)})/)[A-Za-z0-9][A-Za-z0-9_.-]*?"


def drawing_roles(wildcards):
    stack = stack_of(wildcards)
    try:
        return generation.generator_roles(stack.proxies, stack.models)
    except InputError as error:
        raise WorkflowError(str(error))


def drawing_models(wildcards):
    """Manifests of the models that the generator has roles for."""
    names = [
        CONFIG.model_of(setting_of(wildcards), role)
        for role in drawing_roles(wildcards)
    ]
    return [manifest(name)(wildcards) for name in names]


def drawing_files(wildcards):
    """The source of a custom generator, and the box statistics: in place, or made by a rule.

    A change of theirs draws again. The preflight names statistics that are missing.
    """
    proxies = stack_of(wildcards).proxies
    source = plugins.source(proxies.generator) if ":" in proxies.generator else None
    found, path = [str(source)] if source else [], proxies.statistics
    if path and (Path(path).is_file() or made_of_coco(path)):
        found.append(path)
    return found


def unless_unused(step, pattern):
    """Input function: ``pattern``, made by a step that the generator may have no use for."""
    return lambda wildcards: (
        []
        if step in drawing(wildcards).unused
        else expand(pattern, **wildcards, allow_missing=True)
    )


def where_drawn_from(pattern):
    """Input function: the target captions, where images are drawn from them."""
    return lambda wildcards: (
        expand(pattern, **wildcards, allow_missing=True)
        if drawing(wildcards).needs_captions
        else []
    )


def drawn_images(wildcards):
    """Where the images lie."""
    if setting_of(wildcards):
        return paths.DRAWN.format(**wildcards)
    return paths.PROXY_IMAGES.format(generator=proxy_directory(wildcards), **wildcards)


def proxies_options(wildcards, input):
    files = {name: file for name, file in input.items() if name != "models"}
    roles = zip(drawing_roles(wildcards), input.models, strict=True)
    return options(
        files,
        models=[f"{role}={file}" for role, file in roles],
        root=dataset_root(wildcards),
        images=drawn_images(wildcards),
        numbers=numbers_of_round(wildcards),
    )
