"""A guard on retrieval quality: the test world's metrics against the recorded ones, within their noise."""

import math
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, write_json

RECORDED = Path(__file__).parent / "weights" / "mini_test.reference.json"
LEVEL = 1.96  # standard errors


def record(results: Path, reference: Path) -> None:
    """Write the metrics of a result file with the noise of each: 1.96 standard errors of the mean over its queries.

    Every metric is a mean of per-query values in [0, 1], whose standard error is at most sqrt(m (1 - m) / Q).
    """
    content = read_json(results)
    entries = {}
    for entry in content["entries"]:
        bounds = {
            name: {"value": value, "noise": round(LEVEL * math.sqrt(max(value * (1 - value), 0) / entry["queries"]), 6)}
            for name, value in entry["metrics"].items()
            if "/" not in name  # a semantic aspect has few queries of its own
        }
        entries[_name(entry)] = bounds
    write_json(reference, {"dataset": content["dataset"], "queries": content["queries"], "entries": entries})


def check(results: Path, reference: Path) -> None:
    """Raise InputError naming every metric that is lower than recorded by more than its noise."""
    content, recorded = read_json(results), read_json(reference)
    found = {_name(entry): entry["metrics"] for entry in content["entries"]}
    worse = []
    for name, bounds in recorded["entries"].items():
        if name not in found:
            raise InputError(f"has no entry {name}", file=results, remedy="Run configs/mini_evaluation.yaml as it is.")
        for metric, bound in bounds.items():
            value = found[name][metric]
            if value < bound["value"] - bound["noise"]:
                worse.append(f"{name} {metric}: {value:.4f}, recorded {bound['value']:.4f} ± {bound['noise']:.4f}")
    if worse:
        raise InputError(
            "retrieval got worse by more than its noise: " + "; ".join(worse),
            file=results,
            remedy=f"Find the change; if it is intended, update {reference.name} with --record.",
        )
    print(f"{len(recorded['entries'])} entries of {results} are as recorded, within their noise.")


def _name(entry: dict) -> str:
    return f"{entry['backbone']}/{entry['baseline']}/{entry['variant']}"
