"""Input functions of the captions of the proxies."""

import re

from ipcir_steps.config.baselines import CAPTIONED
from ipcir_steps.config.vision import Captions


def joined_names():
    """Regular expression: the names of the text sides that captions of the proxies join."""
    return "|".join(map(re.escape, CONFIG.proxy_captions.joined)) or "(?!)"


def text_before(wildcards):
    """The text side that the captions join."""
    values = {**wildcards, "baseline": CONFIG.joined_to(wildcards.baseline)}
    return paths.TEXT.format(**values)


def proxy_caption_settings(wildcards):
    """The captions section, with the number of captions per proxy."""
    count = {"count": CONFIG.proxy_captions.count}
    captions = stack_of(wildcards).captions.model_copy(update=count)
    return canonical(captions.model_dump(mode="json"))


def proxy_caption_keys(wildcards):
    """What is taken from the configuration: how many captions a reference gets is not among it."""
    shared = [name for name in Captions.model_fields if name != "count"]
    return [
        "seed",
        "proxy_captions.count",
        *(f"stack.captions.{name}" for name in shared),
    ]


def joining(wildcards):
    """The weight of the captions and whose they are."""
    joined = CONFIG.proxy_captions.joined[wildcards.baseline].model_dump(mode="json")
    return canonical({name: joined[name] for name in CAPTIONED.settings.model_fields})
