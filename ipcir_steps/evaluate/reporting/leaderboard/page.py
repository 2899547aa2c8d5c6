"""The leaderboard as one HTML file with its style and script inside, and as CSV."""

import csv as csv_module
import io
from collections.abc import Sequence
from pathlib import Path

from ipcir_steps.core import record_id
from ipcir_steps.evaluate.reporting.leaderboard.rows import CONTROL, LITERATURE, OWN, REPRODUCTION, Part, Row, Value
from ipcir_steps.evaluate.reporting.look import document
from ipcir_steps.evaluate.reporting.tables.text import short

HERE = Path(__file__).parent
TITLE = "Composed image retrieval: published results and own runs"
KINDS = (LITERATURE, REPRODUCTION, OWN, CONTROL)
TOLD = (
    "backbone", "encoder", "split", "year", "venue", "text", "gallery", "reference", "training", "judged", "run by",
    "source", "read in", "failed queries", "changed settings", "note",
)  # fmt: skip
FIELDS = (
    "benchmark", "family", "kind", "id", "reproduces", "method", "variant", "metric", "percent", "difference", "low",
    "high", "compared_with", "delta", "not_comparable", *(name.replace(" ", "_") for name in TOLD),
)  # fmt: skip


def html(parts: Sequence[Part], mark: str | None = None) -> str:
    """mark: what the page must say of itself, above everything else."""
    data = {
        "key": record_id.KEY,
        "record": record_id.current(),
        "kinds": KINDS,
        "parts": [
            {
                "name": part.name,
                "rules": part.rules,
                "caution": part.caution,
                "tables": [
                    {
                        "family": table.family,
                        "metrics": [[metric, short(metric)] for metric in table.columns],
                        "sorted": part.decides if part.decides in table.columns else table.columns[0],
                        "rows": [_row(row, table.columns) for row in table.rows],
                    }
                    for table in part.tables
                ],
            }
            for part in parts
        ],
    }
    return document(HERE, data, TITLE, mark)


def _row(row: Row, columns: Sequence[str]) -> dict:
    """What the script knows of a row. values: [shown, number, what stands below it, what it says when pointed at]."""
    return {
        "id": row.id,
        "kind": row.kind,
        "method": row.method,
        "variant": row.variant,
        "of": row.reproduces,
        "differs": list(row.differs),
        "told": [[name, row.told[name]] for name in TOLD if row.told.get(name)],
        "values": [_cell(row, row.values[metric]) if metric in row.values else None for metric in columns],
    }


def _cell(row: Row, value: Value) -> list:
    below = f"{value.delta:+.2f}" if row.kind == REPRODUCTION and value.delta is not None else ""
    title = f"reproduces {value.other:.2f}" if below else ""
    if value.change is not None:
        below = f"{value.change:+.2f} [{value.low:+.2f}, {value.high:+.2f}]"
        title = "difference to base, with its 95 % interval"
    if row.kind != REPRODUCTION and value.other is not None:
        title = "; ".join(filter(None, (title, f"published {value.other:.2f}, ours minus it {value.delta:+.2f}")))
    return [value.shown, value.number, below, title]


def csv(parts: Sequence[Part]) -> str:
    """One line per value; percent as the source writes it, points with four decimals."""
    stream = io.StringIO()
    writer = csv_module.writer(stream, lineterminator="\n")
    writer.writerow(FIELDS)
    for part in parts:
        for table in part.tables:
            for row in table.rows:
                head = (part.name, table.family, row.kind, row.id, row.reproduces, row.method, row.variant)
                tail = ("; ".join(row.differs), *(row.told.get(name, "") for name in TOLD))
                for metric, value in row.values.items():
                    numbers = (value.change, value.low, value.high, value.other, value.delta)
                    points = ["" if number is None else f"{number:.4f}" for number in numbers]
                    writer.writerow((*head, metric, value.shown, *points, *tail))
    return stream.getvalue()
