"""From what the page asks to what it shows."""

from starlette.exceptions import HTTPException

from ipcir_steps.photos.finder import Limits
from ipcir_steps.photos.question import Question
from ipcir_steps.photos.server.requests import Asked, Words
from ipcir_steps.photos.server.state import State
from ipcir_steps.photos.sides import both
from ipcir_steps.photos.terms import parse


def described(state: State, line: int) -> dict:
    photo = state.finder.gallery.photo(line)
    return {"line": line, "name": photo.name, "taken": photo.taken, "width": photo.width, "height": photo.height,
            "version": f"{state.finder.gallery.stamp[0]}-{photo.fingerprint & 0xFFFF:x}"}  # fmt: skip


def question_of(state: State, asked: Words) -> Question:
    references = [state.reference(part.line, part.upload, part.weight) for part in asked.references]
    return Question(tuple(references), parse(asked.text))


def answered(state: State, asked: Asked) -> dict:
    """Both lists of a question: base, and, where it was imagined, IP-CIR."""
    question, finder = question_of(state, asked), state.finder
    limits = Limits(**asked.limits.model_dump())
    if asked.imagined is None:
        return {"base": _rows(state, finder.find(question, limits)), "ipcir": None}
    imagination = state.imagination(asked.imagined.key)
    if imagination is None:
        raise HTTPException(409, "this was not imagined yet")
    sliders = asked.imagined
    text, fused = both(imagination, sliders.weights, sliders.captions, sliders.proxies)
    finder = imagination.finder
    found = {"ipcir": finder.list(text, fused, sliders.lam, limits, question.references), "base": None}
    if asked.base:
        found["base"] = finder.list(text, None, 1.0, limits, question.references)
    return {name: hits and _rows(state, hits) for name, hits in found.items()}


def _rows(state: State, hits) -> list[dict]:
    return [
        {**described(state, hit.line), "score": hit.score, "text_score": hit.text_score,
         "proxy_score": hit.proxy_score, "same": list(state.finder.gallery.photo(hit.line).others),
         "near": [described(state, line) for line in hit.near]}
        for hit in hits
    ]  # fmt: skip
