"""Lambda with and without labels on the mini world's test world, which no rule was selected on; see docs/ranking.md.

    snakemake --cores 2 results/mini_test_metrics.json --configfile configs/mini_evaluation.yaml
    python benchmarks/choosing_mini.py

The labelled choice uses the other world (mini_val); the rules see the test world's features without its labels.
"""

import argparse
from pathlib import Path
from types import SimpleNamespace

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.retrieval import Tune
from ipcir_steps.evaluate.tuning import sweeps
from ipcir_steps.evaluate.tuning.tune import FILES, label_free, read_world

CONSTANTS = {"0.0 (CIRR)": 0.0, "0.3 (CIRCO)": 0.3, "0.65 (CIRCO, L/14)": 0.65, "0.8 (FashionIQ)": 0.8}
KEY = "mAP@10"


def load(results: Path, dataset: str, baseline: str):
    """The features and queries of one baseline on one world."""
    split = results / dataset / "val"
    files = {name: split / "mini" / f"{name}.safetensors" for name in FILES if name != "text"}
    text = split / "mini" / baseline / "text.safetensors"
    lists = {"queries": split / "queries.jsonl", "gallery_images": split / "gallery.jsonl"}
    return read_world(SimpleNamespace(text=text, exclude_reference=False, **files, **lists))


def curve(world, queries, lambdas):
    """{lambda: AP@10 of each query}."""
    values = {}

    def metric(rankings):
        return {name: scores[KEY] for name, scores in BENCHMARKS["circo"].per_query(rankings, queries).items()}

    for row in sweeps.sweep(world, [sweeps.Setting(weight=value) for value in lambdas], metric):
        values[row["lambda"]] = list(row["metrics"].values())
    return values


def mean(values) -> float:
    return sum(values) / len(values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--baselines", nargs="+", default=["ldre", "cirevl", "searle", "lincir", "pic2word"])
    args = parser.parse_args()
    names = ["labelled (val)", "matched_spread", "agreed", *CONSTANTS, "ceiling", "text alone"]
    print(f"{KEY} of rp_bm in percent [95 % interval of the mean], and lambda")
    sums = dict.fromkeys(names, 0.0)
    for baseline in args.baselines:
        val, val_queries = load(args.results, "mini_val", baseline)
        test, test_queries = load(args.results, "mini_test", baseline)
        rules = label_free(test, Tune(), {})
        labelled = curve(val, val_queries, sweeps.LAMBDAS)
        chosen = {"labelled (val)": max(labelled, key=lambda w: mean(labelled[w])), **rules, **CONSTANTS}
        values = curve(test, test_queries, sorted({*sweeps.LAMBDAS, *chosen.values()}))
        chosen |= {"ceiling": max(sweeps.LAMBDAS, key=lambda w: mean(values[w])), "text alone": 1.0}
        print(f"\n{baseline}")
        for name in names:
            found = values[chosen[name]]
            low, high = sweeps.interval(found)
            sums[name] += mean(found) / len(args.baselines)
            print(f"  {name:20} {100 * mean(found):5.1f} [{100 * low:.1f}, {100 * high:.1f}]  {chosen[name]:.2f}")
    print("\nmean over the baselines")
    for name in names:
        print(f"  {name:20} {100 * sums[name]:5.1f}")


if __name__ == "__main__":
    main()
