"""Lambda with and without labels on the mini world's test world, which no rule was selected on; see docs/ranking.md.

    snakemake --cores 2 results/mini_test_metrics.json --configfile configs/mini_evaluation.yaml
    python dev/benchmarks/choosing_mini.py

The labelled choice uses the other world (mini_val); the rules see the test world's features without its labels.
"""

import argparse
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.retrieval import Grid
from ipcir_steps.core import paths
from ipcir_steps.core.statistics import interval
from ipcir_steps.evaluate.tuning.choose import label_free
from ipcir_steps.evaluate.tuning.sweep import PARTS, Components, Setting, components_of, sweep
from ipcir_steps.seek.ranking.inputs import RetrievalInputs, load_retrieval

CONSTANTS = {"0.0 (CIRR)": 0.0, "0.3 (CIRCO)": 0.3, "0.65 (CIRCO, L/14)": 0.65, "0.8 (FashionIQ)": 0.8}
CIRCO, LAMBDAS = BENCHMARKS["circo"], Grid().lambdas


def load(directory: Path, dataset: str, baseline: str) -> tuple[RetrievalInputs, Components]:
    """The features and queries of one baseline on one world."""

    def path(template: str, **more) -> Path:
        place = {"dataset": dataset, "split": "val", "backbone": "mini", "baseline": baseline}
        return directory / template.format(**place, **more)

    found = load_retrieval(
        text=path(paths.TEXT), gallery=path(paths.GALLERY_FEATURES), queries=path(paths.QUERIES),
        gallery_images=path(paths.GALLERY), parts={name: path(paths.FEATURES, features=name) for name in PARTS},
    )  # fmt: skip
    return found, components_of(found)


def curve(world: tuple[RetrievalInputs, Components], lambdas) -> dict[float, list[float]]:
    """{lambda: AP@10 of each query}."""
    values = {}

    def metric(rankings):
        scored = CIRCO.per_query(rankings, world[0].queries)
        return {query: scores[CIRCO.tuned_by] for query, scores in scored.items()}

    for row in sweep(*world, [Setting(lam=value) for value in lambdas], metric):
        values[row["lambda"]] = list(row["metrics"].values())
    return values


def mean(values) -> float:
    return sum(values) / len(values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path(), help="where the workflow ran")
    parser.add_argument("--baselines", nargs="+", default=["ldre", "cirevl", "searle", "lincir", "pic2word"])
    args = parser.parse_args()
    names = ["labelled (val)", "matched_spread", "agreed", *CONSTANTS, "ceiling", "text alone"]
    print(f"{CIRCO.tuned_by} of rp_bm in percent [95 % interval of the mean], and lambda")
    sums = dict.fromkeys(names, 0.0)
    for baseline in args.baselines:
        val, test = (load(args.directory, f"mini_{name}", baseline) for name in ("val", "test"))
        rules, labelled = label_free(*test, Grid()), curve(val, LAMBDAS)
        chosen = {"labelled (val)": max(labelled, key=lambda lam: mean(labelled[lam])), **rules, **CONSTANTS}
        values = curve(test, sorted({*LAMBDAS, *chosen.values()}))
        chosen |= {"ceiling": max(LAMBDAS, key=lambda lam: mean(values[lam])), "text alone": 1.0}
        print(f"\n{baseline}")
        for name in names:
            found = values[chosen[name]]
            low, high = interval(found)
            sums[name] += mean(found) / len(args.baselines)
            print(f"  {name:20} {100 * mean(found):5.1f} [{100 * low:.1f}, {100 * high:.1f}]  {chosen[name]:.2f}")
    print("\nmean over the baselines")
    for name in names:
        print(f"  {name:20} {100 * sums[name]:5.1f}")


if __name__ == "__main__":
    main()
