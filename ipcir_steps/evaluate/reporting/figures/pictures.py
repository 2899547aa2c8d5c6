"""Cells of the figures that show queries: pictures with a frame, captions, boxes."""

import textwrap
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.evaluate.reporting.figures import style

SIDE = 256  # pixels: larger pictures are made smaller before they are put into a figure


def picture(axis, path: Path | None, title: str = "", hit: bool | None = None) -> None:
    """A picture upright in its proportions, with a title; hit: framed and marked as right or wrong.

    A picture that is missing or unreadable is an empty frame that says so.
    """
    import numpy as np

    from ipcir_steps.core.files import used
    from ipcir_steps.core.images import open_rgb

    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(hit is not None)
    if title:
        axis.set_title(title, fontsize=7, pad=2.5)
    try:
        if path is None:
            raise InputError("no picture")
        image = open_rgb(used(path))
    except InputError:
        axis.set(xlim=(0, 1), ylim=(1, 0), aspect="equal")
        axis.text(0.5, 0.5, "none", ha="center", va="center", color=style.GREY, fontsize=7)
        return
    image.thumbnail((SIDE, SIDE))
    smooth = "antialiased" if max(image.size) > 128 else "none"
    axis.imshow(np.asarray(image), interpolation=smooth)
    if hit is not None:
        colour = style.GREEN if hit else style.RED
        for spine in axis.spines.values():
            spine.set(edgecolor=colour, linewidth=2, linestyle="-" if hit else (0, (2, 1.5)))
        axis.text(
            0.96, 0.04, "✓" if hit else "✗", transform=axis.transAxes, ha="right", va="bottom", color="w", fontsize=8,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": colour, "edgecolor": "none"},
        )  # fmt: skip


def words(axis, text: str, width: int = 24, size: float = 7.5, lines: int = 8) -> None:
    """Wrapped text in an empty cell. Characters that the font lacks are shown as boxes, never an error."""
    axis.set_axis_off()
    shown = textwrap.wrap(" ".join(text.split()), width, max_lines=lines, placeholder=" …")
    # A dollar sign would start a formula.
    axis.text(0, 0.5, "\n".join(shown).replace("$", r"\$"), ha="left", va="center", fontsize=size)


def boxes(axis, layout: dict, width: int, height: int) -> None:
    """Instances of a layout, numbered, on a picture of that size (pixels). Solid: from text; dashed: from the image."""
    import matplotlib.patches as patches

    for number, instance in enumerate(layout["instances"], 1):
        x1, y1, x2, y2 = instance["box"]
        colour = style.SERIES[(number - 1) % len(style.SERIES)]
        line = "--" if instance.get("modality") == "image" else "-"
        corner = (x1 * width - 0.5, y1 * height - 0.5)
        axis.add_patch(
            patches.Rectangle(
                corner,
                (x2 - x1) * width,
                (y2 - y1) * height,
                fill=False,
                edgecolor=colour,
                linewidth=1.4,
                linestyle=line,
                clip_on=False,
            )
        )
        axis.text(
            corner[0] + 0.02 * width, corner[1] + 0.02 * height, str(number), ha="left", va="top", fontsize=6,
            color="w", bbox={"boxstyle": "square,pad=0.12", "facecolor": colour, "edgecolor": "none"},
        )  # fmt: skip


def grid(plt, rows: int, columns: int, ratios=None, side: float = 1.05, head: float = 0.5):
    """(figure, axes [rows][columns]) of cells of ``side`` inches; ratios: relative widths of the columns."""
    ratios = ratios or [1] * columns
    size = (side * sum(ratios) + 0.3, (side + 0.16) * rows + head)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained", gridspec_kw={"width_ratios": ratios}
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    return figure, axes
