"""Tables as Markdown, CSV and LaTeX."""

import csv as csv_module
import io
from collections.abc import Sequence

from ipcir_steps.evaluate.reporting.figures.style import name_of
from ipcir_steps.evaluate.reporting.tables import GAP, SPREAD, Cell, Part, Row
from ipcir_steps.variants import BASE, card_of

NOTE = (
    "Percent. In brackets: difference to the base of the same backbone and method, points, with its 95 % paired "
    "bootstrap interval. Bold: best of the backbone."
)
GAP_NOTE = (
    "Composition gap: points above the better of image only and text only of the same backbone, in the metric that "
    "decides."
)
SPREAD_NOTE = (
    "Spread over wordings: points between the best and the worst wording of a request, mean over the requests, in the "
    "metric that decides."
)
SHORT = {"recall_subset@": "R_s@", "recall@": "R@"}
FIELDS = (
    "dataset", "backbone", "method", "variant", "metric", "value", "difference", "low", "high", "published",
    "delta_to_published", "published_split", "source", "mark",
)  # fmt: skip


def short(metric: str) -> str:
    """
    >>> short("dress/recall@10"), short("recall_subset@2"), short("mAP@5")
    ('dress R@10', 'R_s@2', 'mAP@5')
    """
    category, _, name = metric.rpartition("/")
    for long, brief in SHORT.items():
        if name.startswith(long):
            name = brief + name.removeprefix(long)
            break
    return f"{category} {name}".strip()


def best(part: Part) -> dict[tuple[str, str], float]:
    """{(backbone, metric): highest value, rounded as it is shown; of the spread over wordings the least}."""
    highest: dict[tuple[str, str], float] = {}
    for row in part.rows:
        for cell in row.cells:
            key = row.backbone, cell.metric
            better, value = min if cell.metric == SPREAD else max, round(cell.value, 2)
            highest[key] = better(highest.get(key, value), value)
    return highest


def heading(part: Part) -> str:
    failed = f", {part.failures} failed" if part.failures else ""
    return f"{part.dataset} ({part.queries} queries{failed})"


def method(row: Row) -> str:
    name = name_of(row.baseline)
    return name if row.variant == BASE else f"{name}, {card_of(row.variant).label}"


def difference(cell: Cell) -> str:
    return "" if cell.change is None else f"{cell.change:+.2f} [{cell.low:+.2f}, {cell.high:+.2f}]"


def published(cell: Cell) -> str:
    return "" if cell.published is None else f"{cell.published:.2f} ({cell.delta:+.2f})"


def note_of(parts: Sequence[Part]) -> str:
    notes = {GAP: GAP_NOTE, SPREAD: SPREAD_NOTE}
    return " ".join([NOTE, *(note for name, note in notes.items() if any(name in part.columns for part in parts))])


def markdown(title: str, parts: Sequence[Part]) -> str:
    lines = [f"# {title}", "", note_of(parts), ""]
    for part in parts:
        highest = best(part)
        lines += [f"## {heading(part)}", ""]
        lines += [f"**{part.mark}**", ""] if part.mark else []
        lines += [
            f"| backbone | method | {' | '.join(map(short, part.columns))} |",
            "|---|---|" + "--:|" * len(part.columns),
        ]
        for row in part.rows:
            cells = []
            for cell in row.cells:
                value = f"{cell.value:.2f}"
                value = f"**{value}**" if round(cell.value, 2) == highest[row.backbone, cell.metric] else value
                cells.append(f"{value} ({difference(cell)})" if cell.change is not None else value)
            lines.append(f"| {row.backbone} | {method(row)} | {' | '.join(cells)} |")
            if any(cell.published is not None for cell in row.cells):
                split = next(cell.published_split for cell in row.cells if cell.published is not None)
                lines.append(
                    f"| | *published ({split}), and ours minus it* | {' | '.join(map(published, row.cells))} |"
                )
        lines.append("")
    if not parts:
        lines += ["None of this run's datasets belongs in this table.", ""]
    return "\n".join(lines)


def csv(title: str, parts: Sequence[Part]) -> str:
    """One line per value; percent and points with four decimals."""
    stream = io.StringIO()
    writer = csv_module.writer(stream, lineterminator="\n")
    writer.writerow(FIELDS)
    for part in parts:
        for row in part.rows:
            for cell in row.cells:
                numbers = (cell.value, cell.change, cell.low, cell.high, cell.published, cell.delta)
                shown = ["" if number is None else f"{number:.4f}" for number in numbers]
                head = (part.dataset, row.backbone, row.baseline, row.variant, cell.metric)
                writer.writerow([*head, *shown, cell.published_split or "", cell.source or "", part.mark or ""])
    return stream.getvalue()


def latex(title: str, parts: Sequence[Part]) -> str:
    """A table environment per dataset; needs the package booktabs."""
    lines = [f"% {title}. Needs \\usepackage{{booktabs}}."]
    for part in parts:
        highest = best(part)
        marked = f"{part.mark}. " if part.mark else ""
        caption = escape(f"{marked}{title}: {heading(part)}. {note_of([part]).replace('In brackets', 'Below')}")
        head = " & ".join(escape(short(name)) for name in part.columns)
        lines += [
            "\\begin{table}", "\\centering\\small", f"\\caption{{{caption}}}",
            f"\\begin{{tabular}}{{ll{'r' * len(part.columns)}}}", "\\toprule", f"Backbone & Method & {head} \\\\",
        ]  # fmt: skip
        backbone = None
        for row in part.rows:
            if row.backbone != backbone:
                lines.append("\\midrule")
            cells = []
            for cell in row.cells:
                value = f"{cell.value:.2f}"
                bold = round(cell.value, 2) == highest[row.backbone, cell.metric]
                cells.append(f"\\textbf{{{value}}}" if bold else value)
            first = escape(row.backbone) if row.backbone != backbone else ""
            lines.append(f"{first} & {escape(method(row))} & {' & '.join(cells)} \\\\")
            backbone = row.backbone
            for label, text in (("difference", difference), ("published (ours minus it)", published)):
                values = [text(cell) for cell in row.cells]
                if any(values):
                    small = " & ".join(f"{{\\scriptsize ${v.replace(' ', '~')}$}}" if v else "" for v in values)
                    lines.append(f" & {{\\scriptsize {label}}} & {small} \\\\")
        lines += ["\\bottomrule", "\\end{tabular}", "\\end{table}", ""]
    return "\n".join(lines) + ("" if parts else "\n")


def escape(text: str) -> str:
    """
    >>> escape("95 % of R_s@1")
    '95 \\\\% of R\\\\_s@1'
    """
    for sign in "\\&%$#_{}":
        text = text.replace(sign, "\\textbackslash " if sign == "\\" else f"\\{sign}")
    return text
