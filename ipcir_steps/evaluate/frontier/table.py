"""The frontier as a Markdown table, the cheapest first."""

from collections.abc import Mapping, Sequence

from ipcir_steps.config.frontier import CONFIGURED
from ipcir_steps.variants import BASE, METHOD, NO_PROXY

VARIANTS = (BASE, NO_PROXY, "other_proxy", "rp", METHOD)


def markdown(result: Mapping, costs: Mapping[str, Mapping]) -> str:
    """result: what ``ipcir frontier`` writes; costs: {setting: {"seconds", "processor"}} of one image.

    Percent, and points with 95 % intervals. A row is in bold when it is chosen.
    """
    top, key = result["top"], result["key"]
    head = [
        "setting", "images", *VARIANTS, "to configured", "to no_proxy", f"same top {top}", "cosine", "TFLOP", "of all",
        "seconds", "CPU s",
    ]  # fmt: skip
    found = cheapest_first(result["rows"])
    whole = next(row["operations"] for row in result["rows"] if row["name"] == CONFIGURED)
    chosen = set(result["chosen"].values())
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in found:
        name = f"**{row['name']}**" if row["name"] in chosen else row["name"]
        cost = costs.get(row["setting"], {})
        cells = [
            name,
            f"{row['drawn']:.3g}",
            *(percent(row["metrics"].get(variant)) for variant in VARIANTS),
            change(row["difference"]),
            change(row["gain"]),
            percent(row["overlap"], 0),
            number(row.get("cosine")),
            number(row["operations"], 1e12),
            "-" if row["operations"] is None or not whole else f"{row['operations'] / whole:.1%}",
            *(number(times(row, cost, name)) for name in ("seconds", "processor")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*_above(result, key), "", *lines, ""])


def cheapest_first(rows: Sequence[Mapping]) -> list[Mapping]:
    """Rows by operations, those that are not counted last; of equal ones the better first."""
    return sorted(rows, key=lambda row: (row["operations"] is None, row["operations"] or 0, -row["value"]))


def rule(tolerance: float | None) -> str:
    """What the interval of the difference to the configured setting must do for a row to be chosen."""
    return "reaches 0" if tolerance is None else f"lies above {-100 * tolerance:g} points"


def _above(result: Mapping, key: str) -> list[str]:
    chosen = result["chosen"]
    lines = [
        f"# {result['dataset']}: {key} and cost of {len(result['rows'])} settings, {result['queries']} queries",
        "",
    ]
    if mark := result.get("mark"):
        lines += [f"**{mark}**", ""]
    lines.append(
        f"The cheapest that is not worse than `{CONFIGURED}` (the interval {rule(result['tolerance'])}): "
        f"{chosen['any'] or 'none of them'}; of those that draw something: {chosen['imagined'] or 'none of them'}. "
        "Operations, seconds and CPU seconds are those of one query."
    )
    return lines


def times(row: Mapping, cost: Mapping, name: str) -> float | None:
    each = cost.get(name)
    return None if each is None else each * row["drawn"]


def percent(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f}"


def number(value: float | None, unit: float = 1.0) -> str:
    return "-" if value is None else f"{value / unit:.3g}"


def change(change: Mapping[str, float]) -> str:
    value, low, high = (100 * change[name] for name in ("value", "low", "high"))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
