"""``ipcir search --open``: the results as one page, with small pictures inside, for the browser."""

import base64
import html
import webbrowser
from pathlib import Path

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_text
from ipcir_steps.evaluate.reporting.look import shared
from ipcir_steps.photos import pictures

PIXELS = 240
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}
body {{ font: 15px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 16px; }}
ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 12px; padding: 0; }}
li {{ list-style: none; }}
figure {{ width: 100%; }}</style>
<h1>{title}</h1>
<p>{mark}</p>
<ol>{photos}</ol>
</html>
"""


def write(path: Path, title: str, mark: str, folder: Path, rows: list[dict]) -> None:
    """Write the page. rows: as ``ipcir search --json`` prints them; a photo that cannot be read has no picture."""
    figures = []
    for rank, row in enumerate(rows, 1):
        name = html.escape(row["path"])
        try:
            content = base64.b64encode(pictures.thumbnail(folder / row["path"], PIXELS)).decode()
            picture = f'<img src="data:image/jpeg;base64,{content}" alt="{name}">'
        except (InputError, OSError):
            picture = "none"
        text = f"{rank}. {name} {row['score']:.3f}"
        figures.append(f'<li><figure><div class="frame">{picture}</div><figcaption>{text}</figcaption></figure></li>')
    page = {"title": html.escape(title), "mark": html.escape(mark), "photos": "".join(figures)}
    write_text(path, _PAGE.format(style=shared("look.css"), **page))


def show(path: Path) -> None:
    webbrowser.open(path.absolute().as_uri())
