"""The plan as text."""

from pathlib import Path

from ipcir_steps.config import Resolved
from ipcir_steps.config.generation import generator_of
from ipcir_steps.core import paths
from ipcir_steps.core.units import size
from ipcir_steps.runtime.plan.machines import MACHINES, Machine
from ipcir_steps.runtime.plan.steps import Counts, Step
from ipcir_steps.runtime.plan.weights import roles_of, weights

# What papers report, to hold the plan against.
REPORTED = "the IP-CIR paper reports about 2 s for an image of 50 steps at 512 px"


def hours(number: float | None) -> str:
    """Hours, or minutes, seconds and milliseconds when there are few.

    >>> hours(None), hours(12.34), hours(0.05), hours(0.001), hours(1e-6)
    ('?', '12.3 h', '3.0 min', '3.6 s', '3.6 ms')
    """
    if number is None:
        return "?"
    for factor, unit in ((1, "h"), (60, "min"), (3600, "s")):
        if number * factor >= 1 or (unit == "s" and number * factor >= 0.1):
            return f"{number * factor:.1f} {unit}"
    return f"{number * 3.6e6:.1f} ms"


def text(dataset: str, config: Resolved, counts: Counts, steps: list[Step], machine: Machine) -> str:
    """The whole plan of one dataset."""
    images, stops = counts.queries * config.proxies.count, config.datasets[dataset].stopping is not None
    head = (
        f"{dataset}: {counts.queries:,} queries, {counts.references:,} unique reference images, "
        f"{counts.gallery:,} gallery images, {'at most ' if stops else ''}{images:,} images to draw; "
        f"stack {config.stack_name}"
    )
    told = notes(config, steps, machine)
    if stops:
        told.append("Drawing stops early (stopping): the images, their time and their disk are upper bounds.")
    parts = [[head], table(steps, machine), total(steps, machine), told, download(config)]
    return "\n\n".join("\n".join(part) for part in parts if part)


def columns(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def table(steps: list[Step], machine: Machine) -> list[str]:
    rows = [["step", "items", "per item", "time", "disk", "memory", "on the device", "how the time was made"]]
    for step in steps:
        each = step.per_item(machine.name)
        rows.append(
            [
                step.name,
                f"{step.items:,} {step.unit}",
                hours(each / 3600 if each is not None else None),
                hours(step.hours(machine.name)),
                "≤ " * step.bound + size(step.disk),
                peak(step),
                size(step.needs.device) if step.needs and step.needs.device else "-",
                f"measured on {step.speed.where}" if step.speed else step.estimate.how,
            ]
        )
    return columns(rows)


def peak(step: Step) -> str:
    """Measured where a job of the step has run, else estimated."""
    if step.speed and step.speed.peak:
        return size(step.speed.peak)
    return size(step.needs.host) if step.needs else "-"


def total(steps: list[Step], machine: Machine) -> list[str]:
    """What it all takes, on this device and on the others; and what is not known."""
    unknown = [step.name for step in steps if step.hours(machine.name) is None]
    disk = size(sum(step.disk or 0 for step in steps))
    more = " and more" if any(step.disk is None for step in steps) else ""
    if machine.name == "core":
        lines = [f"Hours of one CPU core: {spent(steps, 'core'):.1f}; disk: {disk}{more}"]
    else:
        lines = [f"GPU hours on one {machine.title}: {spent(steps, machine.name):.1f}; disk: {disk}{more}"]
    others = [other for other in MACHINES.values() if other.name not in (machine.name, "core")]
    if not any(step.speed for step in steps):
        lines.append("On others: " + ", ".join(f"{other.title} {spent(steps, other.name):.1f} h" for other in others))
    if unknown:
        lines.append(f"No estimate of time for {', '.join(unknown)}: run a few queries with this configuration first.")
    return lines


def spent(steps: list[Step], machine: str) -> float:
    return sum(step.hours(machine) or 0 for step in steps if step.gpu)


def notes(config: Resolved, steps: list[Step], machine: Machine) -> list[str]:
    """How the figures were made, what papers report, and what does not fit."""
    lines = []
    if any(step.speed is None for step in steps):
        speed = machine.half if machine.name != "core" else machine.single
        lines.append(
            f"Counted: operations of the models on the meta device, over {machine.reached:.0%} of the "
            f"{speed / 1e12:.3g} TFLOP/s of one {machine.title}, or their weights read at {machine.read:.0%} of "
            f"{machine.bandwidth / 1e9:.0f} GB/s where that takes longer; each step loads its model once."
        )
    each = next((step.per_item(machine.name) for step in steps if step.name == "proxies"), None)
    if config.proxies.generator == "migc" and each:
        lines.append(f"An image takes {each:.1f} s by this plan; {REPORTED}.")
    for step in steps:
        if step.needs and step.needs.device > machine.memory:
            wanted = f"{step.name} needs {size(step.needs.device)} of device memory"
            lines.append(f"Does not fit: {wanted}, one {machine.title} has {size(machine.memory)}.")
    return lines


def download(config: Resolved) -> list[str]:
    """Every model with its size: what is fetched, and what has to be put in place by hand."""
    rows, sums = [["model", "size", "source", "size read from"]], 0
    unused = generator_of(config.proxies).unused
    steps = [step for step in ("captions", "reasoning", "layouts", "masks", "proxies") if step not in unused]
    roles = dict.fromkeys(role for step in steps for role in roles_of(config, step))
    named = [(role, role, config.models[role].source, paths.MANIFEST) for role in roles]
    named += [(name, "clip", config.clip[name].source, paths.CLIP_MANIFEST) for name in config.backbones]
    for name, role, source, template in named:
        manifest = Path(template.format(stack=config.stack_name, role=name, backbone=name))
        found = weights(role, source, manifest, config.proxies.dtype if role == "generator" else None)
        sums += found.stored if found else 0
        rows.append([name, size(found.stored if found else None), source, found.how if found else "not known"])
    return [*columns(rows), f"Models: {size(sums)}"]
