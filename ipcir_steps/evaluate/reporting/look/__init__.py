"""The look and the small pieces of script that all pages of this project share, and the document of a page."""

import json
import re
from html import escape
from pathlib import Path

HERE = Path(__file__).parent


def shared(name: str) -> str:
    """``look.css`` or ``look.js``."""
    return (HERE / name).read_text(encoding="utf-8")


def document(directory: Path, data: dict, title: str, mark: str | None, body: str = "") -> str:
    """One HTML file of a page: ``page.html`` in ``directory`` with ``page.css`` and ``page.js`` inside, and its data.

    mark: what the page must say of itself. body: markup that is there without the script. The data cannot close its
    element: every "<" in it is escaped.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    page, css, js = ((directory / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    told = f'<p class="mark" role="alert">{escape(mark)}</p>\n' if mark else ""
    parts = {
        "title": escape(title),
        "mark": told,
        "style": shared("look.css") + css,
        "script": shared("look.js") + js,
        "data": text,
        "body": body,
    }
    # In one pass: nothing that was put in is taken for a field.
    return re.sub(r"\[\[(title|mark|style|script|data|body)\]\]", lambda field: parts[field[1]], page)
