"""The record id that a picture carries: a picture that was found alone can be traced."""

import re
from pathlib import Path

from ipcir_steps.core.record_id import KEY


def carried(path: Path) -> str | None:
    """The record id inside an SVG, PNG or HTML file; None when there is none."""
    if path.suffix in (".svg", ".html"):
        found = re.search(
            rf'{KEY}(?::|","record":")([0-9a-f]{{64}})', path.read_text(encoding="utf-8", errors="replace")
        )
        return found and found[1]
    if path.suffix == ".png":
        import PIL.Image

        try:
            with PIL.Image.open(path) as image:
                return image.text.get(KEY)
        except (OSError, AttributeError):
            return None
    return None
