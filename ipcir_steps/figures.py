"""Figures of a result file: one panel per metric, one bar per variant, with intervals."""

import argparse
from pathlib import Path

from ipcir_steps.files import atomic, read_json
from ipcir_steps.results import HEADLINE, VARIANTS

# Okabe and Ito's palette: distinguishable to colour-blind readers and in grey print.
COLOURS = dict(zip(VARIANTS, ["#999999", "#56B4E9", "#0072B2", "#D55E00", "#F0E442", "#CC79A7"], strict=True))


def draw(result: dict):
    """A matplotlib figure of the headline metrics (percent) of every backbone and baseline.

    The whisker is the 95 % paired bootstrap interval of the difference to base, drawn around the variant's value.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update({"svg.hashsalt": "ipcir", "font.size": 9, "axes.spines.top": False})
    metrics = [name for name in HEADLINE[result["protocol"]] if name in result["entries"][0]["metrics"]]
    groups = list(dict.fromkeys((entry["backbone"], entry["baseline"]) for entry in result["entries"]))
    size = (1.2 + 2.2 * len(metrics), 1.3 + 0.75 * len(groups))
    figure, axes = plt.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, metric in zip(axes[0], metrics, strict=True):
        for entry in result["entries"]:
            group, order = groups.index((entry["backbone"], entry["baseline"])), list(VARIANTS).index(entry["variant"])
            change, value = entry["difference"].get(metric), 100 * entry["metrics"][metric]
            whisker = None
            if change:
                whisker = [[100 * (change["value"] - change["low"])], [100 * (change["high"] - change["value"])]]
            label = f"{entry['variant']}: {entry['description']}" if metric == metrics[0] and group == 0 else None
            axis.barh(
                group + 0.13 * (order - 2.5), value, 0.12, xerr=whisker, label=label,
                color=COLOURS[entry["variant"]], error_kw={"elinewidth": 0.7, "capsize": 1.5},
            )  # fmt: skip
        axis.set_title(metric)
        axis.set_xlabel("percent")
        axis.spines["right"].set_visible(False)
        axis.set_xlim(left=0)
    axes[0][0].set_yticks(range(len(groups)), [f"{baseline}\n{backbone}" for backbone, baseline in groups])
    axes[0][0].invert_yaxis()
    figure.suptitle(f"{result['dataset']}: {result['queries']} queries")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metrics", type=Path, required=True, help="result file of a dataset (JSON)")
    parser.add_argument("--svg", type=Path, required=True, help="vector figure to write")
    parser.add_argument("--png", type=Path, required=True, help="raster figure to write, 200 dpi")


def main(args: argparse.Namespace) -> None:
    figure = draw(read_json(args.metrics))
    for path, metadata in ((args.svg, {"Date": None}), (args.png, {})):
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=200, metadata=metadata)
