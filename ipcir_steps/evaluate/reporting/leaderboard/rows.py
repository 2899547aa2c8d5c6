"""What the leaderboard shows: results of the literature and of one's own runs as rows, by benchmark and backbone."""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.evaluate.literature import UNKNOWN, Reported
from ipcir_steps.evaluate.reporting.figures.style import name_of
from ipcir_steps.evaluate.subsets import cautions_of, views
from ipcir_steps.variants import BASE, CONTROLS, VARIANTS, card_of

LITERATURE, REPRODUCTION, OWN, CONTROL = "literature", "reproduction", "own run", "control"
FAMILIES = ("ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-H/14", "ViT-G/14")  # in this order; the others after them
ONE_FAMILY = {"g": "G", "bigG": "G"}  # papers call both of open_clip's "ViT-G/14"
OTHER, FEW = "other encoders", 3  # one table for the encoders with fewer results of the literature alone
SHARED_CONCEPT = "shared_concept"
SUPERVISED = "triplets of the benchmark"


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What a benchmark's own rules say; a result that differs is not comparable with the others."""

    split: str
    gallery: str
    reference: str


PROTOCOLS = {
    "circo": Protocol("test", "COCO 2017 unlabeled, 123403 images", "kept"),
    "cirr": Protocol("test1", "images of the split", "removed"),
    "fashioniq": Protocol("val", "whole split of the category", "kept"),
    "fashioniq_pairs": Protocol("val", "references and targets of the captions", "kept"),
    "genecis": Protocol("all", "own gallery of each query", "not in the gallery"),
    "icir": Protocol("all", "database of the instance", "not in the gallery"),
}


@dataclasses.dataclass(frozen=True)
class Value:
    """One number. shown: percent as it is written; number: the same as a number, percent.

    change, low, high: difference to the base of the same run and its 95 % interval, points.
    other: what it is compared with, percent (what it reproduces, or the published number); delta: it minus that.
    """

    shown: str
    number: float
    change: float | None = None
    low: float | None = None
    high: float | None = None
    other: float | None = None
    delta: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table. differs: why it is not comparable with the benchmark's own protocol; empty: nothing known.

    told: {name: text}, what is known of it, for the page and the CSV. reproduces: id of the row that it repeats.
    """

    kind: str
    id: str
    method: str
    variant: str
    values: dict[str, Value]
    differs: tuple[str, ...]
    told: dict[str, str]
    reproduces: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    family: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """The tables of a benchmark, or of a dataset of one's own. decides: the metric that the tables are sorted by."""

    name: str
    rules: str
    caution: str
    decides: str
    tables: tuple[Table, ...]


def parts(reported: Sequence[Reported], results: Iterable[Mapping]) -> list[Part]:
    """Every benchmark that has a result, in the order of the cards; then what was scored on other data."""
    found: dict[str, dict[str, list[Row]]] = {name: {} for name in BENCHMARKS}
    about: dict[str, tuple[str, str]] = {name: (name, card.caution) for name, card in BENCHMARKS.items()}
    known = {row.id: row for row in reported}
    for row in reported:
        family = family_of(known.get(row.reproduces, row).backbones[0])  # a reproduction stands with what it repeats
        found[row.benchmark].setdefault(family, []).append(of_literature(row, known))
    texts = {row.method: row for row in reversed(reported)}
    for result in views(results):
        name, protocol = result["dataset"], result["protocol"]
        about.setdefault(name, (protocol, cautions_of(result) or ""))
        tables = found.setdefault(name, {})
        for entry in result["entries"]:
            tables.setdefault(family_of(entry["backbone"]), []).append(of_run(entry, result, texts))
    return [_part(name, tables, *about[name]) for name, tables in found.items() if tables]


def _part(name: str, found: dict[str, list[Row]], protocol: str, caution: str) -> Part:
    card, found = BENCHMARKS[protocol], _gathered(found)
    tables = []
    for family in sorted(found, key=_place):
        metrics = dict.fromkeys(metric for row in found[family] for metric in row.values)
        first = [metric for metric in card.columns if metric in metrics]
        whole = [metric for metric in metrics if metric not in first and "/" not in metric]
        tables.append(Table(family, (*first, *whole, *(m for m in metrics if "/" in m)), tuple(found[family])))
    return Part(name, card.rules, caution, card.tuned_by, tuple(tables))


def _gathered(found: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """Encoders of which little is known share a table; each row names its own."""
    gathered: dict[str, list[Row]] = {}
    for family, rows in found.items():
        few = len(rows) < FEW and not any(row.kind in (OWN, CONTROL) for row in rows)
        gathered.setdefault(OTHER if few and family not in (*FAMILIES, UNKNOWN) else family, []).extend(rows)
    return gathered


def _place(family: str) -> tuple[int, str]:
    place = FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
    return place + (family == OTHER) + 2 * (family == UNKNOWN), family


def family_of(backbone: str) -> str:
    """What papers call a backbone; the exact one stands in the row.

    >>> family_of("ViT-L-14"), family_of("ViT-bigG-14"), family_of("ViT-g-14"), family_of("mini")
    ('ViT-L/14', 'ViT-G/14', 'ViT-G/14', 'mini')
    """
    found = re.fullmatch(r"ViT-(\w+)-(\d+)", backbone)
    return f"ViT-{ONE_FAMILY.get(found[1], found[1])}/{found[2]}" if found else backbone


def of_literature(row: Reported, known: Mapping[str, Reported]) -> Row:
    first = known.get(row.reproduces)
    values = {}
    for metric, shown in row.values.items():
        other = float(first.values[metric]) if first and metric in first.values else None
        delta = None if other is None else float(shown) - other
        values[metric] = Value(shown, float(shown), other=other, delta=delta)
    told = {
        "backbone": row.backbone, "encoder": row.encoder, "split": row.split, "year": row.year, "venue": row.venue,
        "text": row.text, "gallery": row.gallery, "reference": row.reference, "training": row.training,
        "judged": row.judged, "run by": row.run_by, "source": row.source, "read in": row.read_in, "note": row.note,
    }  # fmt: skip
    kind = REPRODUCTION if row.reproduces else LITERATURE
    label = VARIANTS[row.variant].label if row.variant in VARIANTS and row.variant != BASE else ""
    return Row(kind, row.id, name_of(row.method), label, values, differences(row), told, row.reproduces)


def differences(row: Reported) -> tuple[str, ...]:
    """What a result of the literature does otherwise than the benchmark's own rules; what is not stated counts as
    nothing known."""
    own = PROTOCOLS[row.benchmark]
    found = [
        f"{name}: {told}, not {rule}"
        for name, told, rule in (
            ("split", row.split, own.split),
            ("gallery", row.gallery, own.gallery),
            ("reference", row.reference, own.reference),
        )
        if told not in (rule, UNKNOWN)
    ]
    found += ["reads CIRCO's shared_concept"] if SHARED_CONCEPT in row.text else []
    found += ["trained on the benchmark's own triplets"] if row.training == SUPERVISED else []
    return tuple(found)


def of_run(entry: Mapping, result: Mapping, texts: Mapping[str, Reported]) -> Row:
    """texts: a result of the literature by baseline: what a baseline reads and was trained on."""
    card, like = BENCHMARKS[result["protocol"]], texts.get(entry["baseline"])
    shown = {m: v for m, v in entry["metrics"].items() if m in card.columns or (card.categories and "/" in m)}
    stack = result.get("stack") or {}
    told = {
        "backbone": entry["backbone"],
        "encoder": f"that of the stack {stack['name']}{', toy models' * bool(stack.get('toy'))}" if stack else UNKNOWN,
        "split": f"{result['queries']} queries with labels",
        "text": like.text if like else UNKNOWN,
        "gallery": result["protocol_text"],
        "training": like.training if like else UNKNOWN,
        "run by": "you",
        "source": f"{result['dataset']}_metrics.json, {result.get('provenance', '')[:12]}",
        "failed queries": str(entry["failures"]),
        "changed settings": ", ".join(stack.get("changed", ())),
        "note": entry["description"],
    }
    kind = CONTROL if entry["variant"] in CONTROLS else OWN
    label = card_of(entry["variant"]).label
    values = {metric: _own_value(entry, metric, value) for metric, value in shown.items()}
    name = "/".join((result["dataset"], entry["backbone"], entry["baseline"], entry["variant"]))
    return Row(kind, name, name_of(entry["baseline"]), label, values, _cautions(result, card), told)


def _own_value(entry: Mapping, metric: str, value: float) -> Value:
    change = {name: 100 * number for name, number in entry["difference"].get(metric, {}).items()}
    published = entry["published"].get(metric)
    compared = {}
    if published:
        compared = {"other": 100 * published["value"], "delta": 100 * published["delta"]}
    interval = {"change": change.get("value"), "low": change.get("low"), "high": change.get("high")}
    return Value(f"{100 * value:.2f}", 100 * value, **interval, **compared)


def _cautions(result: Mapping, card) -> tuple[str, ...]:
    told = [cautions_of(result)] if cautions_of(result) else []
    if result["dataset"] in BENCHMARKS and card.server_files:
        told.append(f"labelled split ({result['queries']} queries); the literature's is the hidden test split")
    return tuple(told)
