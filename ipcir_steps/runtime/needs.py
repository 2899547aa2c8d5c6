"""What the preflight looks at, and what it finds."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Need:
    """what: one thing that is missing; remedy: what to do about it. stops: the run cannot end well without it."""

    what: str
    remedy: str
    stops: bool = True


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that is about to run. family: of models, whose packages it needs; gpu: whether it wants one."""

    rule: str
    wildcards: dict[str, str]
    family: str
    gpu: bool
