"""The id of the record that the running step will leave: pictures carry it, so that a picture alone can be traced.

``provenance`` sets it. It depends on step, parameters, inputs and code, not on times or machines.
"""

KEY = "ipcir-record"  # the field of an SVG, PNG or HTML file that holds it
_current: str | None = None


def begin(identity: str | None) -> None:
    """Name the record of the step that starts; None ends it."""
    global _current
    _current = identity


def current() -> str | None:
    """None outside a recorded step."""
    return _current
