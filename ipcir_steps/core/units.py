"""Quantities for people."""


def size(number: float | None) -> str:
    """Bytes for people.

    >>> size(None), size(900), size(2.5e9)
    ('?', '900 B', '2.5 GB')
    """
    if number is None:
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
