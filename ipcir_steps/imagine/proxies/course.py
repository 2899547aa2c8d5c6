"""The course of a run: what each call of the U-Net computes, known before the first one."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Course:
    """Settings of one run.

    guidance: scale of the classifier-free guidance; at most 1 means none, and then only the conditional rows are
    computed, as in diffusers. migc_until: part of the way from noise (0) to the image (1) on which the MIGC blocks act;
    None: up to a step index.
    """

    steps: int = 50
    guidance: float = 7.5
    migc_until: float | None = None


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of the U-Net. migc: with the MIGC blocks; guided: with the unconditional rows."""

    migc: bool
    guided: bool


def calls(course: Course, times: Sequence[float], train: int, migc_steps: int) -> list[Call]:
    """What each call computes.

    times: the training times of the calls, ``train`` - 1 (pure noise) to 0; migc_steps: last step index (0-based) of
    the MIGC blocks, which ``course.migc_until`` replaces.

    A part of the way is measured in training time, not in steps: the blocks place instances while the picture is still
    noise, so what counts is the noise that the U-Net sees. Samplers space their steps differently, and Karras' levels
    spend most of them near the end.
    """
    until, made = course.migc_until, []
    for step, time in enumerate(times):
        migc = step <= migc_steps if until is None else before(until, time, train)
        made.append(Call(migc, course.guidance > 1))
    return made


def before(until: float, time: float, train: int) -> bool:
    """Whether a training time is in the first part of the way from noise to image.

    Time t is 1 - (t + 1) / train of the way: the i-th of n trailing steps is i / n of it.

    >>> [before(0.5, time, 1000) for time in (999, 749, 499, 249)]
    [True, True, False, False]
    """
    return float(time) + 1 > (1 - until) * train + 1e-3  # rounding of the fraction must not decide
