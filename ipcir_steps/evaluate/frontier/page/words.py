"""What the page says without its script: how the choice was made, the table of all rows, and what its columns mean."""

from collections.abc import Iterator, Mapping
from html import escape

from ipcir_steps.config.frontier import CONFIGURED, NOTHING
from ipcir_steps.evaluate.frontier.table import change, cheapest_first, number, percent, rule

Cell = tuple[str, float | str | None]  # what is shown, and what it is sorted by; None: nothing to sort by


def choice(result: Mapping) -> str:
    """The chosen setting, and how it was chosen."""
    rows = {row["name"]: row for row in result["rows"]}
    nothing, whole = rows[NOTHING], rows[CONFIGURED]
    key, chosen = escape(result["key"]), result["chosen"]
    told = [
        f"<p>{result['queries']} queries. {_answer(rows, chosen, key)}</p>",
        f"<p>The setting <code>{CONFIGURED}</code>, with which all others are compared, is what the run's models draw "
        f"({number(whole['drawn'])} images a query): {key} {percent(whole['value'])}. <code>{NOTHING}</code> draws "
        f"nothing: {percent(nothing['value'])}. The text alone, without the reference either: "
        f"{percent(nothing['metrics']['base'])}.</p>",
        "<details><summary>How the choice was made</summary><ol class='plain'>",
        f"<li>Each row answers the same queries; only the imagined images differ. Its {key} is compared with that of "
        f"<code>{CONFIGURED}</code>, query by query. The 95 % interval says how much the difference would vary with "
        "other queries of the same kind (paired bootstrap).</li>",
        f"<li>A row is not worse when this interval {rule(result['tolerance'])}. In the plot: "
        f"{_in_plot(result['tolerance'])}</li>",
        "<li>Of the rows that are not worse the one with the fewest operations is chosen. Rows of rules for stopping "
        "(hollow marks) and rows whose operations are not counted are never chosen.</li>",
        "<li>Where there are few queries intervals are wide, and much passes: look at the interval too. Among many "
        "rows one that loses a little will pass by chance.</li>",
        f"<li>{_weights(result['lambda'])}</li></ol></details>",
    ]
    return f"<section id='choice'><h2>The cheapest setting that is not worse</h2>{''.join(told)}</section>"


def _in_plot(tolerance: float | None) -> str:
    if tolerance is None:
        return f"its bar touches the line of <code>{CONFIGURED}</code> or lies above it."
    return f"its bar ends no more than {100 * tolerance:g} points below the line of <code>{CONFIGURED}</code>."


def _answer(rows: Mapping[str, Mapping], chosen: Mapping[str, str | None], key: str) -> str:
    if chosen["any"] is None:
        return "No setting whose operations are counted is as good."
    told = f"Chosen: <b class='chosen'>{escape(chosen['any'])}</b>{_price(rows, chosen['any'], key)}."
    if chosen["imagined"] and chosen["imagined"] != chosen["any"]:
        drawn = chosen["imagined"]
        told += f" Of those that draw something: <b>{escape(drawn)}</b>{_price(rows, drawn, key)}."
    return told


def _price(rows: Mapping[str, Mapping], name: str, key: str) -> str:
    share = _share(rows[name], rows[CONFIGURED])
    cost = "" if share is None else f" costs {share:.1%} of the operations of <code>{CONFIGURED}</code> and"
    return f"{cost} differs by {change(rows[name]['difference'])} points of {key}"


def _weights(lams: Mapping[str, float]) -> str:
    told = ", ".join(f"{escape(name)} {value:g}" for name, value in lams.items())
    return f"The weight of the text (lambda) is the same in every row: {told}."


def _share(row: Mapping, whole: Mapping) -> float | None:
    """Operations as a part of those of the configured setting; None where either is not counted."""
    return None if row["operations"] is None or not whole["operations"] else row["operations"] / whole["operations"]


def _columns(result: Mapping) -> list[tuple[str, str]]:
    """(heading, what it means), in the order of ``_cells``."""
    key, top = result["key"], result["top"]
    return [
        ("setting", "A way to draw the images, and what in it differs from the configured one. “2 drawn”: only the "
         "first two images of each query are used. “settled 0.9”: a query gets no further image once nine tenths of "
         "its first results stay the same with another one. “certain 0.1”: it gets none at all where the text's first "
         "result leads the second by that much (cosine)."),
        ("images", "Images drawn for a query, on average."),
        (key, "How well the complete method finds the targets, in percent: more is better."),
        ("to configured", "Difference to the configured setting in points, with its 95 % interval. Where the interval "
         "holds 0, the queries do not tell the two apart."),
        ("to no images", "The same difference to the search without imagined images: what they are worth."),
        (f"same top {top}", f"How many of a query's first {top} results are also among those of the configured one."),
        ("cosine", "How alike the images are to those of the configured setting, to the model that compares images: 1 "
         "is the same."),
        ("TFLOP", "Cost: operations that drawing the images of one query takes, in units of 10¹². They are counted, "
         "not measured. Measured seconds are in the table (.md) beside this page."),
        ("of all", "The same as a part of what the configured setting takes."),
        ("unbalanced", f"{key} where text and images are joined before the search, without the balance (rp)."),
        ("others' images", f"{key} with the images of another query (other_proxy): what any image does."),
    ]  # fmt: skip


def _cells(row: Mapping, whole: Mapping, changed: str) -> list[Cell]:
    share = _share(row, whole)
    below = f"<small>{escape(changed)}</small>" if changed else ""
    metrics = row["metrics"]
    return [
        (f"<span class='name'>{escape(row['name'])}</span>{below}", row["name"]),
        (number(row["drawn"]), row["drawn"]),
        (percent(row["value"]), row["value"]),
        (change(row["difference"]), row["difference"]["value"]),
        (change(row["gain"]), row["gain"]["value"]),
        (f"{row['overlap']:.0%}", row["overlap"]),
        (number(row.get("cosine")), row.get("cosine")),
        (number(row["operations"], 1e12), row["operations"]),
        ("-" if share is None else f"{share:.1%}", share),
        *((percent(metrics.get(name)), metrics.get(name)) for name in ("rp", "other_proxy")),
    ]


def table(result: Mapping) -> str:
    """All rows, the cheapest first."""
    whole = next(row for row in result["rows"] if row["name"] == CONFIGURED)
    heads = "".join(f"<th scope='col' title='{escape(told)}'>{escape(head)}</th>" for head, told in _columns(result))
    lines = "".join(_line(row, whole, result) for row in cheapest_first(result["rows"]))
    return (
        "<section><h2>All rows</h2><div class='scroll' tabindex='0' role='region' aria-label='All rows'>"
        f"<table id='rows'><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div></section>"
    )


def _line(row: Mapping, whole: Mapping, result: Mapping) -> str:
    name = row["name"]
    kinds = [kind for kind, of in (("chosen", result["chosen"]["any"]), ("whole", CONFIGURED)) if name == of]
    setting = result.get("settings", {}).get(name, {})  # said once, not again for its first images
    cells = "".join(_cell(*cell) for cell in _cells(row, whole, "; ".join(_changes(setting))))
    return f"<tr data-name='{escape(name)}' class='{' '.join(kinds)}'>{cells}</tr>"


def _cell(text: str, value: float | str | None) -> str:
    key = "" if value is None else f" data-v='{escape(str(value))}'"
    return f"<td{key}>{text}</td>"


def _changes(setting: Mapping) -> Iterator[str]:
    """What a setting of the frontier changes, in the words of the configuration."""
    for name, value in setting.get("proxies", {}).items():
        yield f"{name} {value}"
    for role, name in setting.get("models", {}).items():
        yield f"model {role}: {name}"


def columns(result: Mapping) -> str:
    """What every column means, in plain words."""
    told = "".join(f"<dt>{escape(head)}</dt><dd>{escape(text)}</dd>" for head, text in _columns(result))
    return f"<section><details><summary>What the columns mean</summary><dl>{told}</dl></details></section>"
