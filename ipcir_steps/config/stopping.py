"""Settings of drawing that stops: a query gets no further proxy where one more would hardly change its list."""

from pydantic import Field, model_validator

from ipcir_steps.config.base import Count, Fraction, Name, Section, nearest
from ipcir_steps.config.frontier import NOTHING


class Bounds(Section):
    """When a query gets no further proxy."""

    settled: Fraction | None = Field(
        0.9,
        description="share of the robust proxy's first images that are the same with and without the last proxy, from "
        "which a query gets no further one; null: no such bound",
    )
    certain: float | None = Field(
        None,
        description="cosine by which the text's first image leads its second, from which a query gets no proxy at all; "
        "null: no such bound",
    )
    top: Count = Field(10, description="how many first images are compared")

    @property
    def label(self) -> str:
        """What a row of a frontier is called by."""
        given = {"settled": self.settled, "certain": self.certain}
        return ", ".join(f"{name} {bound:g}" for name, bound in given.items() if bound is not None)

    @model_validator(mode="after")
    def _has_a_bound(self) -> "Bounds":
        if self.settled is None and self.certain is None:
            raise ValueError("stopping: neither settled nor certain is given, so that nothing would ever stop")
        return self


class Stopping(Bounds):
    """Proxies are drawn one after another, and by whose lists they stop."""

    backbone: Name | None = Field(None, description="backbone of the stack whose features decide; null: the first one")
    baseline: Name | None = Field(None, description="text baseline whose text side decides; null: the first one")


def sides(config, name: str) -> tuple[str, str]:
    """The backbone and the baseline whose lists decide for a dataset. config: the whole one."""
    given = config.datasets[name].stopping
    return given.backbone or config.stack_of(name).backbones[0], given.baseline or able(config)[0]


def able(config) -> list[str]:
    """The baselines whose text side is there before anything is drawn."""
    return [baseline for baseline in config.baselines if not config.joined_to(baseline)]


def check(config) -> None:
    """Raises ValueError naming the key where a dataset cannot stop as it says."""
    for name, dataset in config.datasets.items():
        if dataset.stopping and (told := _mistake(config, name)):
            raise ValueError(f"datasets.{name}.stopping{told}")


def _mistake(config, name: str) -> str | None:
    """What is wrong, behind the key; None: nothing."""
    dataset, stack = config.datasets[name], config.stack_of(name)
    for key, known in (("backbone", stack.backbones), ("baseline", able(config))):
        chosen = getattr(dataset.stopping, key)
        if chosen is not None and chosen not in known:
            return f".{key}: unknown name {chosen!r}{nearest(chosen, known)}"
    if not able(config):
        return (
            ": every baseline has captions of the proxies in its text side, which are not there before they are drawn"
        )
    if stack.proxies.generator == NOTHING:
        return f": the generator of its stack is {NOTHING!r}, so there is nothing to stop"
    if dataset.tuned_on == name:
        return ": lambda is chosen with the dataset's own proxies (tuned_on), which are not there before they are drawn"
    if dataset.rule and not {sides(config, name)[0], "default"} & set(dataset.lam):
        return (
            ": lambda.rule gives each query its lambda once the proxies are there; add the number with which lists are "
            f"compared until then, such as lambda: {{rule: {dataset.rule}, default: 0.3}}"
        )
    return None
