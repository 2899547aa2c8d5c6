"""The frontier as a figure: retrieval against operations, and against measured time."""

from collections.abc import Mapping, Sequence

from ipcir_steps.config.frontier import CONFIGURED, NOTHING
from ipcir_steps.evaluate.reporting.figures import style
from ipcir_steps.variants import BASE, NO_PROXY

SIDES = {
    "operations": "operations of one query's proxies, TFLOP",
    "seconds": "seconds of one query, measured",
}


def draw(result: Mapping, costs: Mapping[str, Mapping]):
    """One line per setting, through its numbers of proxies; hollow: rules for stopping; ringed: what is chosen.

    result, costs: as ``table.markdown`` has them. Whiskers: the 95 % paired bootstrap interval of the difference to the
    configured setting, around its value. A setting without a cost is left out of a panel.
    """
    plt = style.start()
    rows = {row["name"]: row for row in result["rows"]}
    sides = {side: _spent(result["rows"], costs, side) for side in SIDES}
    shown = [side for side in SIDES if sides[side]]
    figure, axes = style.panels(plt, max(1, len(shown)), width=4.6, height=4.4)
    for axis, side in zip(axes, shown, strict=False):
        _panel(axis, result, rows, sides[side])
        axis.set_xlabel(SIDES[side])
    axes[0].set_ylabel(f"{result['key']}, percent")
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.suptitle(f"{result['dataset']}: {result['queries']} queries")
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, fontsize=7)
    return figure


def _spent(rows: Sequence[Mapping], costs: Mapping[str, Mapping], side: str) -> dict[str, float]:
    """{row: cost of a query} of those that draw something and whose cost is known."""
    found = {}
    for row in rows:
        each = costs.get(row["setting"], {}).get(side)
        if row["drawn"] and each:
            found[row["name"]] = each * row["drawn"] / (1e12 if side == "operations" else 1)
    return found


def _panel(axis, result: Mapping, rows: Mapping[str, Mapping], spent: Mapping[str, float]) -> None:
    from matplotlib import ticker

    whole = rows[CONFIGURED]["value"]
    settings = list(dict.fromkeys(row["setting"] for row in rows.values() if row["name"] != NOTHING))
    for number, setting in enumerate(settings):
        own = [row for name, row in rows.items() if row["setting"] == setting and name in spent]
        counted = sorted((row for row in own if "bounds" not in row), key=lambda row: row["drawn"])
        look = {
            "color": style.SERIES[number % len(style.SERIES)],
            "marker": style.MARKERS[number // len(style.SERIES) % len(style.MARKERS)],
        }
        if counted:
            values = [100 * row["value"] for row in counted]
            # The difference of means over categories is that of the metric, so the interval is drawn around its value.
            changes = [row["difference"] for row in counted]
            whisker = [
                [max(0.0, value - 100 * (whole + one["low"])) for value, one in zip(values, changes, strict=True)],
                [max(0.0, 100 * (whole + one["high"]) - value) for value, one in zip(values, changes, strict=True)],
            ]
            places = [spent[row["name"]] for row in counted]
            style_of_line = style.LINES[number // len(style.SERIES) % len(style.LINES)]
            axis.errorbar(
                places, values, yerr=whisker, label=setting, elinewidth=0.5, capsize=1.5, linewidth=0.9,
                linestyle=style_of_line, **look,
            )  # fmt: skip
        for row in own:
            if "bounds" in row:
                axis.plot(spent[row["name"]], 100 * row["value"], fillstyle="none", linestyle="none", **look)
    _levels(axis, result, rows, spent)
    axis.set_xscale("log")
    axis.margins(x=0.12)
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(ticker.NullFormatter())


def _levels(axis, result: Mapping, rows: Mapping[str, Mapping], spent: Mapping[str, float]) -> None:
    """What costs nothing, as lines; what is chosen, as a ring."""
    plain = rows[NOTHING]["metrics"]
    axis.axhline(100 * plain[NO_PROXY], color=style.GREEN, linestyle="--", linewidth=0.9, label="no proxy")
    axis.axhline(100 * plain[BASE], color=style.GREY, linestyle=":", linewidth=0.9, label="text alone")
    name = result["chosen"]["imagined"]
    if name in spent:
        place = spent[name], 100 * rows[name]["value"]
        axis.plot(*place, "o", markersize=11, fillstyle="none", color=style.BLACK, label="chosen")
        axis.annotate(name, place, xytext=(0, 9), textcoords="offset points", fontsize=7, ha="center")
