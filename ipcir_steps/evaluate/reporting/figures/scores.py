"""The metrics of a dataset, and the controls beside the method."""

from collections.abc import Sequence

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.evaluate.reporting.figures import cards, style
from ipcir_steps.variants import CONTROLS, METHOD, RANKED, VARIANTS, card_of, unverified, verified_name

LEGEND = 7.4  # inches that the descriptions of the variants take in two columns


@cards.figure(
    "scores",
    of="result",
    caption="""**{dataset}**, split ``{split}`` ({benchmark} protocol{removed}): every variant of {baselines} on
    {backbones}. Whiskers: 95 % paired bootstrap intervals of the difference to ``base`` ({resamples} resamples, seed
    {seed}). λ: {lambda}; weights of eq. 1: {fusion[weights]} (scale: {fusion[scale]}).""",
)
def scores(result: dict):
    """Headline metrics (percent) of every backbone and baseline: one panel per metric, one bar per variant.

    result: a dataset's result file. The whisker is the 95 % paired bootstrap interval of the difference to base,
    drawn around the variant's value.
    """
    plt, there = style.start(), {entry["variant"] for entry in result["entries"]}
    order_of = [each for name in RANKED for each in (name, verified_name(name)) if each in (there | {*VARIANTS})]
    many = len(order_of)
    metrics = [name for name in BENCHMARKS[result["protocol"]].headline if name in result["entries"][0]["metrics"]]
    groups = list(dict.fromkeys((entry["backbone"], entry["baseline"]) for entry in result["entries"]))
    width = max(1.2 + 2.2 * len(metrics), LEGEND)
    title = [f"{result['dataset']}: {result['queries']} queries", *style.lines(width, result.get("caution", ""))]
    size = (width, 1.1 + 0.2 * len(title) + 0.75 * len(groups) * many / len(VARIANTS))
    figure, axes = plt.subplots(1, len(metrics), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, metric in zip(axes[0], metrics, strict=True):
        for entry in result["entries"]:
            group, order = groups.index((entry["backbone"], entry["baseline"])), order_of.index(entry["variant"])
            change, value = entry["difference"].get(metric), 100 * entry["metrics"][metric]
            whisker = None
            if change:
                whisker = [[100 * (change["value"] - change["low"])], [100 * (change["high"] - change["value"])]]
            verified = entry["variant"] != unverified(entry["variant"])
            told = f"{entry['variant']}: {'verified' if verified else entry['description']}"
            label = told if metric == metrics[0] and group == 0 else None
            axis.barh(
                group + 0.78 / many * (order - (many - 1) / 2), value, 0.72 / many, xerr=whisker, label=label,
                color=card_of(entry["variant"]).colour, error_kw={"elinewidth": 0.7, "capsize": 1.5},
                **({"hatch": "////", "edgecolor": "white"} if verified else {}),
            )  # fmt: skip
        axis.set_title(metric)
        axis.set_xlabel("percent")
        axis.set_xlim(left=0)
    labels = [f"{style.name_of(baseline)}\n{backbone}" for backbone, baseline in groups]
    axes[0][0].set_yticks(range(len(groups)), labels)
    axes[0][0].invert_yaxis()
    figure.suptitle("\n".join(title))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@cards.figure(
    "controls",
    of="results",
    caption="""Gain over the text baseline of IP-CIR, of fusion without any proxy, and of fusion with the proxies of
    *other* queries ({baselines} on {backbones}; {resamples} resamples). A gain that the controls show too is not a gain
    of imagination.""",
)
def controls(results: Sequence[dict]):
    """Gain over base of IP-CIR and of both controls, with 95 % paired bootstrap intervals; one panel per dataset.

    Of the benchmark's metrics the one that decides (``tuned_by``) is shown. A gain that the controls show
    too is not a gain of imagination.
    """
    plt = style.start()
    shown = (METHOD, *CONTROLS)
    most = max(len({(e["backbone"], e["baseline"]) for e in result["entries"]}) for result in results)
    figure, axes = style.panels(plt, len(results), height=0.8 + 0.45 * most)
    handles = {}
    for axis, result in zip(axes, results, strict=True):
        metric = BENCHMARKS[result["protocol"]].tuned_by
        groups = list(dict.fromkeys((entry["backbone"], entry["baseline"]) for entry in result["entries"]))
        axis.axvline(0, color=style.BLACK, linewidth=0.8)
        for entry in result["entries"]:
            if entry["variant"] not in shown or not entry["difference"].get(metric):
                continue
            change = {name: 100 * value for name, value in entry["difference"][metric].items()}
            order = shown.index(entry["variant"])
            y = groups.index((entry["backbone"], entry["baseline"])) + 0.22 * (order - 1)
            whisker = [[change["value"] - change["low"]], [change["high"] - change["value"]]]
            handles[entry["variant"]] = axis.errorbar(
                change["value"], y, xerr=whisker, fmt=style.MARKERS[order], capsize=2, elinewidth=1,
                color=VARIANTS[entry["variant"]].colour, markeredgecolor=style.BLACK, markeredgewidth=0.4,
            )  # fmt: skip
        axis.set_yticks(range(len(groups)), [f"{style.name_of(b)}\n{backbone}" for backbone, b in groups])
        axis.set_ylim(len(groups) - 0.5, -0.5)
        axis.grid(axis="x", linewidth=0.3)
        axis.set_title(f"{style.dataset_of(result)} (n = {result['queries']})")
        axis.set_xlabel(f"{metric}: difference to base, points")
    style.legend(figure, list(handles.values()), [VARIANTS[variant].label for variant in handles])
    return figure
