"""The course of a run: what each call of the U-Net computes, known before the first one."""

import dataclasses
from collections.abc import Sequence

from ipcir_steps.config.generation import Proxies


@dataclasses.dataclass(frozen=True)
class Course:
    """Settings of one run.

    guidance: scale of the classifier-free guidance; at most 1 means none, and then only the conditional rows are
    computed, as in diffusers. migc_until, guidance_until: part of the way from noise (0) to the image (1) on which the
    MIGC blocks act and on which there is guidance; migc_until None: up to the step index migc_steps (0-based, the last
    with them). reuse_every: the deep levels of the U-Net are computed in every so many calls of a phase and reused
    between them.
    """

    steps: int = 50
    guidance: float = 7.5
    migc_until: float | None = None
    guidance_until: float = 1.0
    reuse_every: int = 1
    migc_steps: int = 25

    @classmethod
    def of(cls, settings: Proxies) -> "Course":
        return cls(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(cls)})


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of the U-Net. migc: with the MIGC blocks; guided: with the unconditional rows; whole: with its deep
    levels, which are else those of the last whole call."""

    migc: bool
    guided: bool
    whole: bool = True


def calls(course: Course, times: Sequence[float], train: int) -> list[Call]:
    """What each call computes.

    times: the training times of the calls, ``train`` - 1 (pure noise) to 0.

    A part of the way is measured in training time, not in steps: the blocks place instances while the picture is still
    noise, so what counts is the noise that the U-Net sees. Samplers space their steps differently, and Karras' levels
    spend most of them near the end. The deep levels are computed anew where a phase begins, because they hold the MIGC
    blocks and have a row for each row of the batch.
    """
    until, made, phase, since = course.migc_until, [], None, 0
    for step, time in enumerate(times):
        migc = step <= course.migc_steps if until is None else before(until, time, train)
        guided = course.guidance > 1 and before(course.guidance_until, time, train)
        since = since + 1 if phase == (migc, guided) else 0
        phase = migc, guided
        made.append(Call(migc, guided, since % course.reuse_every == 0))
    return made


def before(until: float, time: float, train: int) -> bool:
    """Whether a training time is in the first part of the way from noise to image.

    Time t is 1 - (t + 1) / train of the way: the i-th of n trailing steps is i / n of it.

    >>> [before(0.5, time, 1000) for time in (999, 749, 499, 249)]
    [True, True, False, False]
    """
    return float(time) + 1 > (1 - until) * train + 0.5  # samplers round their times to whole ones
