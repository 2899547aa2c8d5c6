"""Lists and questions as CSV files."""

import csv
import io
from collections.abc import Callable

from ipcir_steps.core.errors import InputError
from ipcir_steps.photos.question import Question
from ipcir_steps.photos.server.answers import answered
from ipcir_steps.photos.server.requests import Asked, Request, Trail
from ipcir_steps.photos.terms import parse


def results(state, asked: Asked) -> str:
    """The list that is shown: rank, path, score, text_score, proxy_score, taken."""
    found = answered(state, asked)
    rows = found["base"] if found["ipcir"] is None else found["ipcir"]
    return _csv(
        ["rank", "path", "score", "text_score", "proxy_score", "taken"],
        [
            [rank, row["name"], row["score"], row["text_score"], row["proxy_score"], row["taken"]]
            for rank, row in enumerate(rows or (), 1)
        ],
    )


def queries(state, trail: Trail) -> str:
    """The questions as a query file of the workflow for this folder: reference, caption, id.

    Questions without a photo of the folder or without words are left out. Raises InputError when none is left.
    """
    rows: dict[str, list[str]] = {}
    for asked in trail.questions:
        references = [part for part in asked.references if part.line is not None]
        terms = parse(asked.text)
        if not references or not terms:
            continue
        first = state.reference(references[0].line, None, references[0].weight)
        question = Question((first,), terms)
        if question.main[0] is not None and question.main[1] is not None:
            query = question.query
            rows[query.query_id] = [query.reference, query.caption, query.query_id]
    if not rows:
        raise InputError("no question has a photo of the folder and words")
    return _csv(["reference", "caption", "id"], list(rows.values()))


def _csv(header: list[str], rows: list[list]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


KINDS: dict[str, tuple[type[Request], Callable]] = {"results": (Asked, results), "queries": (Trail, queries)}
