"""The plan as text."""

from ipcir_steps.core.units import size
from ipcir_steps.runtime.plan import Counts, Step


def hours(number: float | None) -> str:
    """Hours, or minutes and seconds when there are few.

    >>> hours(None), hours(12.34), hours(0.05), hours(0.001)
    ('?', '12.3 h', '3.0 min', '3.6 s')
    """
    if number is None:
        return "?"
    return (
        f"{number:.1f} h" if number >= 1 else f"{60 * number:.1f} min" if number >= 1 / 60 else f"{3600 * number:.1f} s"
    )


def table(dataset: str, counts: Counts, steps: list[Step], images: int) -> str:
    rows = [["step", "items", "per item", "time", "disk", "measured on"]]
    for step in steps:
        each = hours(step.speed.per_item / 3600) if step.speed else "?"
        source = step.speed.where if step.speed else "no recorded benchmark of these models and settings"
        rows.append(
            [
                step.name,
                f"{step.items:,} {step.unit}",
                each,
                hours(step.hours),
                "≤ " * step.bound + size(step.disk),
                source,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    head = (
        f"{dataset}: {counts.queries:,} queries, {counts.references:,} unique reference images, "
        f"{counts.gallery:,} gallery images, {images:,} images to draw"
    )
    return "\n".join([head, "", *lines, "", *total(steps)])


def total(steps: list[Step]) -> list[str]:
    """What is known, and what is not."""
    known = [step for step in steps if step.speed]
    unknown = [step.name for step in steps if not step.speed]
    gpu = sum(step.hours for step in known if step.gpu)
    part = " for the steps with a benchmark" if unknown else ""
    more = " and more" if any(step.disk is None for step in steps) else ""
    lines = [f"GPU-hours: {gpu:.2f}{part}; disk: {size(sum(step.disk or 0 for step in steps))}{more}"]
    if unknown:
        names = ", ".join(unknown) if known else "any step"
        lines.append(f"No estimate of time for {names}: run a few queries with this configuration first.")
    return lines
