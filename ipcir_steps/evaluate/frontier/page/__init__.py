"""The frontier as one HTML file: a plot to point at, the table, and what the settings drew. It holds no times.

The markup is there without the script, which adds the plot and sorts the table.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ipcir_steps.config.frontier import CONFIGURED, NOTHING
from ipcir_steps.evaluate.frontier.page.pictures import Shown, gallery
from ipcir_steps.evaluate.frontier.page.words import choice, columns, table
from ipcir_steps.evaluate.reporting.look import document

HERE = Path(__file__).parent


def html(result: Mapping, shown: Sequence[Shown] = ()) -> str:
    """result: what ``ipcir frontier`` writes; shown: queries with what each setting drew for them."""
    rows = {row["name"]: row for row in result["rows"]}
    data = {
        "key": result["key"],
        "configured": CONFIGURED,
        "nothing": NOTHING,
        "chosen": result["chosen"]["any"],
        "base": rows[NOTHING]["metrics"]["base"],
        "rows": [_point(row) for row in result["rows"]],
    }
    title = f"{result['dataset']}: what imagined images are worth, and what they cost"
    return document(
        HERE, data, title, result.get("mark"), choice(result) + table(result) + columns(result) + gallery(shown)
    )


def _point(row: Mapping) -> dict:
    """What the plot knows of a row; the table holds what is told of it."""
    change = row["difference"]
    return {
        "name": row["name"],
        "setting": row["setting"],
        "value": row["value"],
        "low": change["low"],
        "high": change["high"],
        "operations": row["operations"],
        "rule": "bounds" in row,
    }
