"""What a run costs: wall, processor and GPU time of each step (the paper's stated limitation)."""

import csv
from collections.abc import Iterable
from pathlib import Path

from ipcir_steps.core import paths
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, used
from ipcir_steps.evaluate.reporting.figures import cards, style
from ipcir_steps.steps import STEPS, TIMED


def step_of(path: Path) -> str | None:
    """The step whose job a benchmark file is of.

    >>> step_of(Path("benchmarks/results/cirr/val/captions/0.tsv"))
    'captions'
    """
    for name in TIMED:
        if any(paths.fields(template, path) for template in STEPS[name].times):
            return name
    return None


def measured(benchmarks: Path, dataset: str, split: str) -> dict[str, dict[str, float]]:
    """{step: {"wall": s, "cpu": s, "peak": MiB}} summed over the benchmark files of one dataset's split.

    benchmarks: the directory of Snakemake's benchmark files.
    """
    found: dict[str, dict[str, float]] = {}
    for path in sorted((benchmarks / dataset / split).rglob("*.tsv")):
        step = step_of(Path(paths.TIMES) / path.relative_to(benchmarks))
        if step is None:
            continue
        with open(used(path), newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                total = found.setdefault(step, {"wall": 0.0, "cpu": 0.0, "peak": 0.0})
                total["wall"] += _number(row, "s")
                total["cpu"] += _number(row, "cpu_time")
                total["peak"] = max(total["peak"], _number(row, "max_rss"))
    return {step: found[step] for step in TIMED if step in found}


def _number(row: dict, name: str) -> float:
    try:
        return float(row.get(name) or 0)
    except ValueError:  # steps too short to be sampled have no value
        return 0.0


def gpu_seconds(records: Iterable[dict]) -> float:
    """Wall time of the steps that saw a GPU, times how many they saw."""
    return sum(record["seconds"] * len(record["host"]["gpus"]) for record in records)


def records_below(directory: Path) -> list[dict]:
    return [read_json(path) for path in sorted(directory.rglob("*.json")) if not path.name.startswith(".")]


def of_run(results: list[dict], args) -> tuple[dict, dict, dict]:
    """What ``costs`` is drawn from. args: benchmarks (directory), splits (one per result), records (directory)."""
    runs, gpu = {}, {}
    for result, split in zip(results, args.splits, strict=True):
        name = result["dataset"]
        runs[name] = measured(args.benchmarks, name, split)
        below = args.records / paths.SPLIT.format(dataset=name, split=split) if args.records else None
        gpu[name] = gpu_seconds(records_below(below)) if below else 0.0
    return runs, {result["dataset"]: result["queries"] for result in results}, gpu


@cards.figure(
    "costs",
    of="run",
    caption="""Time per query of each step, summed over shards, with peak memory; {proxies[count]} proxies of
    {proxies[width]} x {proxies[height]} pixels in {proxies[steps]} steps by ``{proxies[generator]}``. The cost of
    imagination is the method's stated limitation.""",
)
def costs(runs: dict[str, dict], queries: dict[str, int], gpu: dict[str, float]):
    """Wall and processor seconds per query of each step, one panel per dataset.

    runs: {dataset: what ``measured`` gives}; queries: how many were asked; gpu: seconds of GPU time.
    Sums over shards, so the figure does not depend on how many ran side by side.
    """
    if not any(runs.values()):
        raise InputError(
            "there are no benchmark files", file="benchmarks", remedy="Run the workflow in this directory."
        )
    plt = style.start()
    figure, axes = style.panels(plt, len(runs), height=2.9)
    for axis, (dataset, steps) in zip(axes, runs.items(), strict=True):
        count = max(1, queries[dataset])
        for number, name in enumerate(steps):
            for offset, kind, colour, hatch in ((-0.2, "wall", style.BLUE, ""), (0.2, "cpu", style.ORANGE, "///")):
                axis.barh(
                    number + offset, steps[name][kind] / count, 0.38, color=colour, hatch=hatch, edgecolor="w",
                    label={"wall": "wall time", "cpu": "processor time"}[kind] if number == 0 else None,
                )  # fmt: skip
            peak = steps[name]["peak"] / 1024
            axis.annotate(
                f" {peak:.1f} GiB", (max(steps[name]["wall"], steps[name]["cpu"]) / count, number), fontsize=6.5,
                va="center", color="#444444",
            )  # fmt: skip
        axis.set_yticks(range(len(steps)), list(steps))
        axis.invert_yaxis()
        axis.margins(x=0.2)
        total = sum(step["wall"] for step in steps.values())
        hours = f"{gpu[dataset] / 3600:.2f} GPU hours" if gpu[dataset] else "no GPU used"
        axis.set_title(f"{dataset}: {total / 60:.1f} min for {queries[dataset]} queries\n{hours}")
        axis.set_xlabel("seconds per query")
    axes[0].legend(loc="lower right")
    style.note(figure, "Sums over shards. Beside the bars: peak memory of one process.")
    return figure
