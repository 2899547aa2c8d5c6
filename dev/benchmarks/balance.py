"""Rules that balance each query by itself, on good and bad proxies; see docs/ranking.md.

    snakemake --cores 2 results/mini_test_metrics.json --configfile configs/mini_evaluation.yaml
    python -m dev.benchmarks.balance --output balance.json

Labels choose one lambda on the other world (mini_val), which gets the same mixture of wrong proxies.
`--datasets mini_test mini_val` measures the other way round.
"""

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dev.benchmarks.judging import Captioner
from dev.benchmarks.worlds import WORLDS, load, mixed, rows_of
from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.retrieval import Fusion, Ranking, Tuning
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.core.statistics import paired_interval
from ipcir_steps.evaluate.tuning.choose import agreed, matched_spread
from ipcir_steps.seek.balance.apply import balance
from ipcir_steps.seek.balance.rules import RULES
from ipcir_steps.seek.fusion.recipes import fuse
from ipcir_steps.seek.ranking.lists import rank_gallery

CONSTANTS = {"0.0": 0.0, "0.3": 0.3, "0.65": 0.65, "0.8": 0.8}
CIRCO, LAMBDAS = BENCHMARKS["circo"], Tuning().lambdas
BASELINES = ("ldre", "cirevl", "searle", "lincir", "pic2word")


def precisions(found, fused, variant: str, lams: Sequence) -> np.ndarray:
    """AP@10 [L, Q] of a variant at each lambda, a number or a tensor [Q]. fused: its proxies [Q, D]."""
    proxy = {"rp_bm": "rp"}.get(variant, variant)
    inputs = dataclasses.replace(found, proxies={proxy: fused}, without={proxy: frozenset()})
    values = []
    for rows in rank_gallery(inputs, {variant: tuple(lams)}, Ranking(k=10))[variant]:
        scored = CIRCO.per_query({query: [name for name, _ in filled] for query, filled in rows}, found.queries)
        values.append([scored[query.query_id][CIRCO.tuned_by] for query in found.queries])
    return np.array(values)


def measure(val, test, variant: str, more: bool, judge: Captioner | None = None) -> dict[str, dict]:
    """{choice: {"lambda": mean, "values": AP@10 of each query}}. val, test: (inputs, features); judge: of the images of
    the test world, without which rules that need one are left out."""
    proxy = {"rp_bm": "rp"}.get(variant, variant)
    curves = {}
    for name, (found, features) in {"val": val, "test": test}.items():
        made = fuse(proxy, features)
        assert not made.missing
        fused = rows_of(made, found)
        curves[name] = precisions(found, fused, variant, LAMBDAS)
    found, features = test
    free = {"matched_spread": matched_spread(found.text, fused, found.gallery)}
    free["agreed (one)"] = agreed(found.text, fused, found.gallery, exclude=found.exclude)
    ones = CONSTANTS | free
    at = {"text alone": len(LAMBDAS) - 1} | {
        name: best(curves[world].mean(1)) for name, world in (("labelled", "val"), ("ceiling", "test"))
    }
    told = {name: {"lambda": LAMBDAS[place], "values": curves["test"][place]} for name, place in at.items()}
    told["oracle"] = {"lambda": None, "values": curves["test"].max(0)}
    for name, values in zip(ones, precisions(found, fused, variant, list(ones.values())), strict=True):
        told[name] = {"lambda": ones[name], "values": values}
    for name, rule in RULES.items():
        if rule.needs_judgements and judge is None:
            continue
        believed = judge.believed(found, fused) if rule.needs_judgements else None
        done = balance(rule, found, features, [variant], Fusion(), 0, believed)
        lam = done.lams[variant]
        lams = [lam, *CONSTANTS.values()] if more and rule.trust else [lam]
        rows = done.fused[proxy]
        own = rows_of(rows, found)
        own[[query.query_id in set(rows.missing) for query in found.queries]] = 1
        for label, values in zip(["", *CONSTANTS], precisions(found, own, variant, lams), strict=False):
            told[f"rule {name} {label}".strip()] = {
                "lambda": float(lam.mean()) if not label else CONSTANTS[label], "values": values,
                "trust": float(done.trust[proxy].mean()) if proxy in done.trust else None,
            }  # fmt: skip
    return told


def best(values: Sequence[float]) -> int:
    """Of equal ones the greatest lambda, as ``ipcir tune`` chooses."""
    return max(range(len(values)), key=lambda number: (values[number], number))


def verdicts(table: Sequence[dict]) -> dict[str, dict]:
    """{rule: by how much it is above one lambda chosen on labels, on average; where it is below the best constant by
    more than the noise; and whether it is recommended: within half a point of the labels, and nowhere below}."""
    value = {(row["variant"], row["world"], row["baseline"], row["choice"]): row["value"] for row in table}
    told = {}
    for name in RULES:
        rows = [row for row in table if row["choice"] == f"rule {name}"]
        if not rows:
            continue
        above = [row["value"] - value[row["variant"], row["world"], row["baseline"], "labelled"] for row in rows]
        below = [f"{row['world']}, {row['baseline']}" for row in rows if row["change"][2] < 0]
        mean = sum(above) / len(above)
        told[name] = {"above the labels": mean, "below a constant": below, "recommended": mean >= -0.5 and not below}
    return told


def show(table: Sequence[dict]) -> None:
    """Means over the baselines, one line per choice; a mark for every baseline that is below the best constant."""
    choices, worlds = (list(dict.fromkeys(row[key] for row in table)) for key in ("choice", "world"))
    print("|", " | ".join(["", *worlds]), "|")
    print("|---|" + "--:|" * len(worlds))
    for choice in choices:
        cells = []
        for world in worlds:
            rows = [row for row in table if (row["choice"], row["world"]) == (choice, world)]
            mean, below = sum(row["value"] for row in rows) / len(rows), sum(row["change"][2] < 0 for row in rows)
            cells.append(f"{mean:.1f}{'*' * below}")
        print("|", " | ".join([choice, *cells]), "|")
    for name, verdict in verdicts(table).items():
        print(name, verdict)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path(), help="where the workflow ran")
    parser.add_argument("--baselines", nargs="+", default=BASELINES)
    parser.add_argument("--datasets", nargs=2, default=["mini_val", "mini_test"], help="with labels, and measured")
    parser.add_argument("--variant", default="rp_bm")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS))
    parser.add_argument("--constants", action="store_true", help="each rule's trust at the constants, too")
    parser.add_argument("--judge", action="store_true", help="also the rule that needs a judge (the captioner)")
    parser.add_argument("--hold", choices=RULES, help="fail unless this rule can be recommended")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write; one that is there is shown")
    args = parser.parse_args()
    if not args.output.exists():
        write_json(args.output, run(args))
    table = read_json(args.output)
    show(table)
    if args.hold and not verdicts(table)[args.hold]["recommended"]:
        raise SystemExit(f"{args.hold} is not to be recommended")


def run(args: argparse.Namespace) -> list[dict]:
    """A row for every world, baseline and choice: value, and its difference to the best constant with its interval."""
    table, judge = [], Captioner(args.directory, args.datasets[1]) if args.judge else None
    for world in args.worlds:
        for baseline in args.baselines:
            began, sides = time.monotonic(), []
            for dataset in args.datasets:
                found, features = load(args.directory, dataset, baseline)
                sides.append((found, mixed(features, WORLDS[world])))
            told = measure(*sides, args.variant, args.constants, judge)
            bar = max((told[name] for name in CONSTANTS), key=lambda one: one["values"].mean())["values"]
            for choice, one in told.items():
                change = paired_interval(bar, one["values"], np.zeros(len(bar)), seed=0)
                row = {"variant": args.variant, "world": world, "baseline": baseline, "choice": choice}
                row |= {"value": 100 * float(one["values"].mean()), "change": [100 * part for part in change]}
                table.append(row | {"lambda": one["lambda"], "trust": one.get("trust")})
            print(f"{args.variant} {world} {baseline}: {time.monotonic() - began:.1f} s", flush=True)
    return table


if __name__ == "__main__":
    main()
