"""One look for every figure: sizes, colours that colour-blind readers and grey print can tell apart, and saving."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.baselines import BASELINES
from ipcir_steps.config.proxy_captions import CAPTIONED
from ipcir_steps.core import record_id
from ipcir_steps.core.files import atomic

# Okabe and Ito's palette. No difference is shown by colour alone: a marker, line style, hatch or label shows it too.
BLACK, GREY, SKY, BLUE = "#000000", "#999999", "#56B4E9", "#0072B2"
GREEN, ORANGE, RED, YELLOW, PURPLE = "#009E73", "#E69F00", "#D55E00", "#F0E442", "#CC79A7"
SERIES = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY, YELLOW)
MARKERS = "osD^vP*Xd"
LINES = ("-", "--", "-.", ":")
SETTINGS = {
    "svg.hashsalt": "ipcir",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.markersize": 4,
    "lines.linewidth": 1.4,
    "figure.titlesize": 10,
}


def start():
    """matplotlib.pyplot in this style, drawing to files only."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    matplotlib.rcParams.update(matplotlib.rcParamsDefault)
    matplotlib.use("Agg")
    matplotlib.rcParams.update(SETTINGS)
    return plt


def save(figure, svg: Path, png: Path, mark: str | None = None) -> None:
    """Write both files with the record's id inside and no times: the same figure gives the same bytes.

    mark: written across the figure, such as that toy models made it.
    """
    if mark:
        across = {"color": "#c00000", "alpha": 0.75, "weight": "bold", "ha": "center", "va": "center"}
        size = min(14.0, 100 * figure.get_figwidth() / len(mark))
        figure.text(0.5, 0.5, mark, fontsize=size, zorder=100, bbox={"color": "white", "alpha": 0.7}, **across)
    identity = record_id.current()
    told = {"Description": mark} if mark else {}
    about = {"Date": None, **told} | ({"Identifier": f"{record_id.KEY}:{identity}"} if identity else {})
    with atomic(svg) as temporary:
        figure.savefig(temporary, format="svg", metadata=about)
    with atomic(png) as temporary:
        figure.savefig(
            temporary, format="png", dpi=200, metadata=told | ({record_id.KEY: identity} if identity else {})
        )


def panels(plt, count: int, width: float = 3.0, height: float = 2.6, columns: int = 3, **more):
    """A figure with ``count`` axes in a grid of at most ``columns``; returns (figure, list of axes)."""
    columns = min(columns, count)
    rows = -(-count // columns)
    size = (0.6 + width * columns, 0.7 + height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **more)
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    return figure, list(axes.flat[:count])


def name_of(baseline: str) -> str:
    """
    >>> name_of("ldre"), name_of("ldre_captioned"), name_of("ldre_captioned.others"), name_of("mine")
    ('LDRE', 'LDRE + proxy captions', 'LDRE + proxy captions.others', 'mine')
    """
    plain, joined, more = baseline.partition(CAPTIONED)
    label = BASELINES[plain].label if plain in BASELINES else plain
    return f"{label} + proxy captions{more}" if joined else label


def dataset_of(content: dict) -> str:
    """The dataset of a result file or a sweep, with its protocol where its numbers could be taken for another's.

    >>> dataset_of({"dataset": "mine", "protocol": "fashioniq_pairs"})
    'mine, fashioniq_pairs'
    >>> dataset_of({"dataset": "mine", "protocol": "fashioniq"})
    'mine'
    """
    name, protocol = content["dataset"], content["protocol"]
    return f"{name}, {protocol}" if BENCHMARKS[protocol].caution and protocol not in name else name


def lines(width: float, text: str, size: float = 10.8) -> list[str]:
    """A text in lines of a figure's width, inches. size: of the letters, points."""
    return textwrap.wrap(text, int(72 * width / (0.55 * size)))


def note(figure, text: str) -> None:
    """What was measured on what, below the figure, in lines of its width."""
    size = 7.5
    figure.supxlabel("\n".join(lines(figure.get_figwidth(), text, size)), fontsize=size, color="#444444")


def legend(figure, handles: Sequence, labels: Sequence[str], columns: int = 4) -> None:
    figure.legend(handles, labels, loc="outside upper center", ncols=min(columns, len(labels)))
