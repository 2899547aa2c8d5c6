"""The look and the small pieces of script that all pages of this project share."""

from pathlib import Path

HERE = Path(__file__).parent


def shared(name: str) -> str:
    """``look.css`` or ``look.js``."""
    return (HERE / name).read_text(encoding="utf-8")
