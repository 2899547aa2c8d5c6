"""Sensitivity: lambda (fig. 7), number of proxies (fig. 8), parts of eq. 1 (fig. 5), lambda times proxy weight."""

from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.core import paths
from ipcir_steps.evaluate.reporting.figures import cards, style

PARTS = ("proxy", "query", "perturbation")


def name(path: Path) -> dict[str, str]:
    """{"dataset", "backbone", "baseline"} of …/{dataset}/{split}/{backbone}/{baseline}/sensitivity.json."""
    return {name: value for name, value in paths.fields(paths.SENSITIVITY, path).items() if name != "split"}


def series(sweeps: Sequence[dict]) -> dict[str, list[dict]]:
    """The sweeps of each dataset, in the order given."""
    found: dict[str, list[dict]] = {}
    for sweep in sweeps:
        found.setdefault(sweep["dataset"], []).append(sweep)
    return found


def curve(sweeps: Sequence[dict], part: str, x: str, label: str):
    """One panel per dataset: percent over ``x`` of the rows of ``part``, 95 % bootstrap intervals shaded.

    With one backbone and baseline every headline metric is a line, with several each of them is one, of the metric
    that decides. The dotted line is the configured setting.
    """
    plt = style.start()
    groups = series(sweeps)
    figure, axes = style.panels(plt, len(groups))
    alone = max(map(len, groups.values())) == 1
    for axis, members in zip(axes, groups.values(), strict=True):
        lines = []
        for sweep in members:
            metrics = BENCHMARKS[sweep["protocol"]].headline if alone else (sweep["key"],)
            metrics = [metric for metric in metrics if metric in sweep[part][0]["metrics"]]
            title = f"{style.name_of(sweep['baseline'])}, {sweep['backbone']}"
            lines += [(sweep, metric, metric if alone else title) for metric in metrics]
        for number, (sweep, metric, title) in enumerate(lines):
            rows, colour = sweep[part], style.SERIES[number % len(style.SERIES)]
            xs = [row[x] for row in rows]
            axis.plot(
                xs, [100 * row["metrics"][metric] for row in rows], label=title, color=colour,
                marker=style.MARKERS[number % len(style.MARKERS)], linestyle=style.LINES[number % len(style.LINES)],
            )  # fmt: skip
            if metric == sweep["key"]:
                low, high = zip(*(row["interval"][metric] for row in rows), strict=True)
                band = [[100 * value for value in side] for side in (low, high)]
                axis.fill_between(xs, *band, color=colour, alpha=0.15, linewidth=0)
        chosen = members[0]["chosen"]["lambda"] if x == "lambda" else members[0][part][-1]["proxies"]
        axis.axvline(chosen, color=style.BLACK, linestyle=":", linewidth=0.9)
        axis.set_title(f"{style.dataset_of(members[0])} (n = {members[0]['queries']})")
        axis.set_xlabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(linewidth=0.3)
        if x == "proxies":
            axis.set_xticks(xs)
        if alone:
            axis.legend()
    if not alone:
        style.legend(figure, *axes[0].get_legend_handles_labels(), columns=2 * len(axes))
    axes[0].set_ylabel("percent" if alone else f"{sweeps[0]['key']}, percent")
    return figure


@cards.figure(
    "fig7",
    of="sweeps",
    caption="""λ of eq. 2 over {sensitivity[lambdas]}; the dotted line is the configured value ({lambda}).""",
)
def lambdas(sweeps):
    """Fig. 7: lambda of eq. 2, from the product alone (0) to the text alone (1)."""
    return curve(sweeps, "lambda", "lambda", "λ (0: product with the proxy, 1: text alone)")


@cards.figure(
    "fig8",
    of="sweeps",
    caption="Number of proxies averaged, of the {proxies[count]} drawn by ``{proxies[generator]}``.",
)
def proxies(sweeps):
    """Fig. 8: how many proxies are averaged."""
    return curve(sweeps, "proxies", "proxies", "proxies per query")


@cards.figure(
    "fig5",
    of="sweeps",
    caption="The seven ways to keep proxy, query and perturbation in eq. 1, weights {fusion[weights]}.",
)
def components(sweeps: Sequence[dict]):
    """Fig. 5: the seven ways to keep parts of eq. 1, at the configured weights and lambda.

    Which parts are kept stands beside the bars; the dashed line is the text alone. Whiskers: 95 % bootstrap intervals.
    """
    plt = style.start()
    groups = series(sweeps)
    most = max(map(len, groups.values()))
    figure, axes = style.panels(plt, len(groups), height=2.2 + 0.5 * most)
    for axis, members in zip(axes, groups.values(), strict=True):
        for number, sweep in enumerate(members):
            key, rows = sweep["key"], sweep["components"]
            for order, row in enumerate(rows):
                value = 100 * row["metrics"][key]
                low, high = (100 * bound for bound in row["interval"][key])
                axis.barh(
                    order + (number - (most - 1) / 2) * 0.8 / most, value, 0.75 / most,
                    xerr=[[max(0, value - low)], [max(0, high - value)]], color=style.SERIES[number],
                    label=f"{style.name_of(sweep['baseline'])}, {sweep['backbone']}" if order == 0 else None,
                    error_kw={"elinewidth": 0.7, "capsize": 1.5},
                )  # fmt: skip
            text = next((row for row in sweep["lambda"] if row["lambda"] == 1), None)
            if text:
                axis.axvline(100 * text["metrics"][key], color=style.SERIES[number], linestyle="--", linewidth=0.9)
        marks = ["  ".join("●" if weight else "○" for weight in row["weights"]) for row in rows]
        axis.set_yticks(range(len(rows)), [f"{n}   {mark}" for n, mark in enumerate(marks, 1)])
        axis.invert_yaxis()
        axis.set_title(f"{style.dataset_of(members[0])} (n = {members[0]['queries']})")
        axis.set_xlabel(f"{members[0]['key']}, percent")
    if most > 1:
        style.legend(figure, *axes[0].get_legend_handles_labels(), columns=2 * len(axes))
    style.note(figure, f"● kept, ○ left out, in the order {', '.join(PARTS)}. Dashed: text alone.")
    return figure


@cards.figure(
    "heatmap",
    of="sweeps",
    caption="""λ times the weight of the proxy ({sensitivity[proxy_weights]}) beside those of query and perturbation
    (the last two of {fusion[weights]}); {first_baseline} on {first_backbone}.""",
)
def heatmap(sweeps: Sequence[dict]):
    """Lambda times proxy weight, the metric that decides in percent; the first backbone and baseline of each dataset.

    A square marks the configured setting, a dot the best one. Cividis suits colour-blind readers.
    """
    plt = style.start()
    groups = series(sweeps)
    figure, axes = style.panels(plt, len(groups), width=3.6, height=2.4)
    for axis, members in zip(axes, groups.values(), strict=True):
        sweep, key = members[0], members[0]["key"]
        columns = sorted({row["lambda"] for row in sweep["weights"]})
        lines = sorted({row["weights"][0] for row in sweep["weights"]}, reverse=True)
        values = [[float("nan")] * len(columns) for _ in lines]
        for row in sweep["weights"]:
            values[lines.index(row["weights"][0])][columns.index(row["lambda"])] = 100 * row["metrics"][key]
        image = axis.imshow(values, cmap="cividis", aspect="auto")
        figure.colorbar(image, ax=axis, label=f"{key}, percent", pad=0.02)
        low, high = image.get_clim()
        if low == high:  # else the scale would be stretched beyond what a metric can be
            image.set_clim(max(0.0, low - 1), min(100.0, high + 1))
            low, high = image.get_clim()
        digits = 0 if high - low >= 10 else 1
        for y, line in enumerate(values):
            for x, value in enumerate(line):
                dark = value < (low + high) / 2
                axis.text(x, y, f"{value:.{digits}f}", ha="center", va="center", fontsize=6, color="w" if dark else "k")
        best = max(sweep["weights"], key=lambda row: row["metrics"][key])
        axis.plot(columns.index(best["lambda"]) + 0.33, lines.index(best["weights"][0]) - 0.3, "o", color=style.RED)
        chosen = sweep["chosen"]
        if chosen["lambda"] in columns and chosen["weights"][0] in lines:
            corner = columns.index(chosen["lambda"]) - 0.5, lines.index(chosen["weights"][0]) - 0.5
            axis.add_patch(plt.Rectangle(corner, 1, 1, fill=False, edgecolor=style.RED, linewidth=1.6))
        axis.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
        axis.set_yticks(range(len(lines)), [f"{value:g}" for value in lines])
        of = f"{style.name_of(sweep['baseline'])}, {sweep['backbone']} (n = {sweep['queries']})"
        axis.set_title(f"{style.dataset_of(sweep)}: {of}")
        axis.set_xlabel("λ")
    axes[0].set_ylabel("weight of the proxy")
    style.note(figure, "Square: configured. Dot: best.")
    return figure
