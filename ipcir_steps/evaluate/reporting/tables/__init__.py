"""The paper's tables, from result files: 1 (CIRCO, CIRR), 2 (FashionIQ), 3 (ablation). Markdown, CSV and LaTeX."""

import argparse
import dataclasses
from collections.abc import Sequence

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.files import read_json, write_text
from ipcir_steps.evaluate.subsets import cautions_of, views
from ipcir_steps.variants import BASE, METHOD, RANKED, unverified

TITLES = {
    1: "Table 1. Text baselines and IP-CIR",
    2: "Table 2. Text baselines and IP-CIR on FashionIQ",
    3: "Table 3. Ablation: plain proxies, robust proxy, balance, and the controls",
}
ABLATION = 3
SIDES = ("image_only", "text_only")
GAP = "composition gap"
SPREAD = "spread over wordings"
SHOWN = {1: (BASE, METHOD), 2: (BASE, METHOD), ABLATION: tuple(RANKED)}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One value. value, change, low, high, published, delta: percent or points; None where there is none.

    change: difference to the base of the same backbone and baseline, [low, high] its 95 % paired bootstrap interval.
    delta: value minus published; published_split: the split that was published.
    """

    metric: str
    value: float
    change: float | None = None
    low: float | None = None
    high: float | None = None
    published: float | None = None
    delta: float | None = None
    published_split: str | None = None
    source: str | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    backbone: str
    baseline: str
    variant: str
    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """The rows of one dataset; a table has one part per dataset, because their metrics differ."""

    dataset: str
    protocol: str
    queries: int
    failures: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    mark: str | None = None


def parts(results: Sequence[dict], number: int) -> list[Part]:
    """What table ``number`` shows of the result files; the subsets of each are parts of their own.

    Where the run has the baselines ``image_only`` and ``text_only``, the composition gap is a column; where requests
    have several wordings, so is the spread over them.
    """
    found = []
    for result in views(results):
        if number not in (ABLATION, BENCHMARKS[result["protocol"]].table):
            continue
        names, key = columns(result, number), BENCHMARKS[result["protocol"]].tuned_by
        alone = one_side(result, key)
        rows = [
            Row(
                e["backbone"],
                e["baseline"],
                e["variant"],
                (*(cell(e, name) for name in names), *gap(e, key, alone), *spread(e, key)),
            )
            for e in result["entries"]
            if unverified(e["variant"]) in SHOWN[number]
        ]
        names = (*names, *((GAP,) if alone else ()), *(one.metric for one in spread(result["entries"][0], key)))
        lost = result["failures"]["queries"]
        about = result["dataset"], result["protocol"], result["queries"], lost
        found.append(Part(*about, names, tuple(rows), cautions_of(result)))
    return found


def columns(result: dict, number: int) -> tuple[str, ...]:
    """Metrics of a dataset, those that it has; those of each category first, but not in the ablation."""
    metrics, card = result["entries"][0]["metrics"], BENCHMARKS[result["protocol"]]
    several = [name for name in metrics if "/" in name] if card.categories and number != ABLATION else []
    return (*several, *(name for name in card.columns if name in metrics))


def one_side(result: dict, key: str) -> dict[str, float]:
    """{backbone: the higher of what the reference alone and the text alone reach in a metric}; empty where a backbone
    lacks one of the two baselines."""
    reached: dict[str, dict[str, float]] = {entry["backbone"]: {} for entry in result["entries"]}
    for entry in result["entries"]:
        if entry["baseline"] in SIDES and entry["variant"] == BASE:
            reached[entry["backbone"]][entry["baseline"]] = entry["metrics"][key]
    complete = all(len(sides) == len(SIDES) for sides in reached.values())
    return {backbone: max(sides.values()) for backbone, sides in reached.items()} if complete else {}


def gap(entry: dict, key: str, alone: dict[str, float]) -> tuple[Cell, ...]:
    """How far an entry is above what one side alone reaches, points: what it owes to the two together."""
    return (Cell(GAP, 100 * (entry["metrics"][key] - alone[entry["backbone"]])),) if alone else ()


def spread(entry: dict, key: str) -> tuple[Cell, ...]:
    """How far the best and the worst wording of a request are apart, points; of a subset's entry nothing."""
    told = entry.get("paraphrases")
    return (Cell(SPREAD, 100 * told["metrics"][key]["spread"]),) if told else ()


def cell(entry: dict, metric: str) -> Cell:
    change = {name: 100 * value for name, value in entry["difference"].get(metric, {}).items()}
    known = entry["published"].get(metric)
    told = {}
    if known:
        told = {"published": 100 * known["value"], "delta": 100 * known["delta"]}
        told |= {"published_split": known["split"], "source": known["source"]}
    interval = {"change": change.get("value"), "low": change.get("low"), "high": change.get("high")}
    return Cell(metric, 100 * entry["metrics"][metric], **interval, **told)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=InFile, nargs="+", required=True, help="result files of the datasets")
    parser.add_argument("--number", type=int, choices=sorted(TITLES), required=True, help="which of the paper's tables")
    parser.add_argument("--markdown", type=OutFile, required=True, help="Markdown file to write")
    parser.add_argument("--csv", type=OutFile, required=True, help="CSV file to write, one line per value")
    parser.add_argument("--latex", type=OutFile, required=True, help="LaTeX file to write (booktabs)")


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.evaluate.reporting.tables import text

    found = parts([read_json(path) for path in args.results], args.number)
    for path, write in ((args.markdown, text.markdown), (args.csv, text.csv), (args.latex, text.latex)):
        write_text(path, write(TITLES[args.number], found))
