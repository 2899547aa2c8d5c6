"""The picture of the model card: every learning curve of the mini world's models."""

from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_jsonl

LOSS = "loss"


def parts(weights: Path) -> dict[str, list[dict]]:
    """{part of a training: its points in order} of all ``*.curve.jsonl``. Raises InputError where there is none."""
    found: dict[str, list[dict]] = {}
    for path in sorted(weights.glob("*.curve.jsonl")):
        for point in read_jsonl(path):
            found.setdefault(point.get("part", path.name.removesuffix(".curve.jsonl")), []).append(point)
    if not found:
        raise InputError("holds no learning curves", file=weights, remedy="Run `make mini`.")
    return found


def curves(weights: Path, svg: Path, png: Path) -> None:
    """One panel per part of a training: its loss and the figures beside it, by minutes of the training."""
    from ipcir_steps.evaluate.reporting.figures import style

    plt = style.start()
    found = parts(weights)
    figure, axes = style.panels(plt, len(found), columns=4, width=2.7, height=2.0)
    for axis, (name, points) in zip(axes, found.items(), strict=True):
        minutes = [point["seconds"] / 60 for point in points]
        shown = [key for key in points[-1] if key not in ("part", "step", "seconds", "scale")]
        for number, key in enumerate(shown):
            line = style.LINES[number % len(style.LINES)]
            axis.plot(minutes, [p[key] for p in points], line, color=style.SERIES[number], label=key)
        axis.set_yscale("log")
        axis.set_title(f"{name}: {points[-1]['step']} steps")
        axis.legend(fontsize=6)
    figure.supxlabel("minutes (wall)")
    style.save(figure, svg, png)
