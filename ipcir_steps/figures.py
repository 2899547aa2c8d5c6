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
    figure, axes = plt.subplots(1, len(metrics), figsize=(2.6 * len(metrics), 3.2), squeeze=False, layout="constrained")
    for axis, metric in zip(axes[0], metrics, strict=True):
        for entry in result["entries"]:
            order = list(VARIANTS).index(entry["variant"])
            place = groups.index((entry["backbone"], entry["baseline"])) + 0.13 * (order - 2.5)
            value = 100 * entry["metrics"][metric]
            change = entry["difference"].get(metric)
            whisker = None
            if change:
                whisker = [[100 * (change["value"] - change["low"])], [100 * (change["high"] - change["value"])]]
            label = f"{entry['variant']}: {entry['description']}" if metric == metrics[0] and place < 0.5 else None
            axis.bar(place, value, 0.12, yerr=whisker, capsize=2, color=COLOURS[entry["variant"]], label=label)
        axis.set_xticks(range(len(groups)), [f"{baseline}\n{backbone}" for backbone, baseline in groups])
        axis.set_title(metric)
        axis.spines["right"].set_visible(False)
        axis.set_ylim(bottom=0)
    axes[0][0].set_ylabel("percent")
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
