"""What a figure is: a function with a card. Rules, commands, captions and samples derive from the cards."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

Kind = Literal["result", "results", "sweeps", "queries", "run"]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure.

    of: what it is drawn from, which is also where it lies below ``results/figures``.
        result    a dataset's result file: draw(result); ``{dataset}``, of which there is one
        results   all result files: draw(results); ``{name}``
        sweeps    all sensitivity files: draw(sweeps), each with its dataset, backbone and baseline; ``{name}``
        queries   what was made for one dataset's queries: draw(collection, count, dataset, top); ``{dataset}/{name}``
        run       times and memory of the steps: draw(runs, queries, gpu); ``{name}``
    draw: returns the matplotlib figure.
    caption: of the report; ``{fusion[weights]}`` and the like quote the configuration.
    """

    name: str
    of: Kind
    draw: Callable
    caption: str

    @property
    def help(self) -> str:
        """The first line of the function's docstring."""
        return (self.draw.__doc__ or self.name).partition("\n")[0]


FIGURES: dict[str, Figure] = {}


def figure(name: str, of: Kind, caption: str) -> Callable[[Callable], Callable]:
    """Register the function below as a figure."""

    def register(draw: Callable) -> Callable:
        if name in FIGURES:
            raise ValueError(f"there are two figures {name!r}")
        FIGURES[name] = Figure(name, of, draw, " ".join(caption.split()))
        return draw

    return register


def names(of: Kind) -> list[str]:
    return [card.name for card in FIGURES.values() if card.of == of]


# What the captions of a kind share.
SHARED = {
    "result": "{caption}",
    "results": "{caption}",
    "run": "{caption}",
    "sweeps": "{caption} Intervals: 95 % bootstrap, {sensitivity[resamples]} resamples, seed {seed}.",
    "queries": (
        "**{dataset}**, {first_baseline} on {first_backbone}, proxies drawn by ``{proxies[generator]}`` "
        "({proxies[steps]} steps, {proxies[width]} x {proxies[height]} pixels). {caption} λ: {lambda}."
    ),
}


def caption(name: str, settings: Mapping, dataset: str | None = None) -> str:
    """The caption of a figure, with what it quotes of the configuration.

    settings: "datasets" {name: section}, those that the figure shows; "backbones", "baselines", and every section or
    value that captions quote. dataset: of a figure that shows one.
    """
    first = {f"first_{one}": settings[f"{one}s"][0] for one in ("backbone", "baseline")}
    told = {**settings, **first, "dataset": dataset, "lambda": lambdas(settings["datasets"])}
    if dataset is not None:
        section = settings["datasets"][dataset]
        told |= {"split": section["split"], "benchmark": section["benchmark"]}
        told["removed"] = ", the reference is removed" if section["exclude_reference"] else ""
    told = {key: joined(value) for key, value in told.items()}
    card = FIGURES[name]
    return SHARED[card.of].format(**told, caption=card.caption.format(**told))


def lambdas(datasets: Mapping[str, Mapping]) -> str:
    """Lambda of each dataset, or on which dataset it is chosen.

    >>> lambdas({"a": {"tuned_on": None, "lambda": 0.5}})
    '0.5'
    >>> lambdas({"a": {"tuned_on": None, "lambda": {"B": 0.3}}, "b": {"tuned_on": "a", "lambda": 0.5}})
    'a: 0.3 (B); b: chosen on a'
    """
    found = {}
    for name, section in datasets.items():
        value = section["lambda"]
        if isinstance(value, Mapping):
            value = ", ".join(f"{one} ({backbone})" for backbone, one in value.items())
        found[name] = f"chosen on {section['tuned_on']}" if section["tuned_on"] else str(value)
    if len(found) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{name}: {value}" for name, value in found.items())


def joined(value):
    """Lists as text, also inside a section.

    >>> joined({"a": [1, 2], "b": "x"})
    {'a': '1, 2', 'b': 'x'}
    """
    if isinstance(value, Mapping):
        return {key: joined(entry) for key, entry in value.items()}
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
