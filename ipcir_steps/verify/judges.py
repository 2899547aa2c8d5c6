"""The judges behind one interface, and the cache of their answers."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ipcir_steps.config.verification import Judging
from ipcir_steps.config.vision import Captions
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.verify.asked import Asked, Pictures

Values = list[float | StepFailure]


class Judge(Protocol):
    """digest: identity of model, settings and question. together: candidates are judged beside each other, so a
    judgement holds for one set of them; else each is judged by itself."""

    digest: str
    together: bool

    def request(self, asked: Asked, pictures: Pictures) -> object:
        """What a judgement depends on beside judge and candidates, as JSON. Raises StepFailure for a query that cannot
        be judged."""

    def values(self, asked: Asked, names: Sequence[str], pictures: Pictures) -> Values:
        """Log-odds (natural) that each candidate is what was asked for, or why there are none."""


def open_judge(settings: Judging, model: str | Path | None, captions: Captions) -> Judge:
    """model: manifest or directory, None for a server that somebody else runs; captions: how the captioner is read.

    Raises InputError where judge or model are not set, ModelError when the model cannot be loaded.
    """
    if settings.judge is None:
        raise InputError("is not set", file="--settings", field="judge", remedy="Set captioner, yes_no or grid.")
    if model is None and not settings.remote:
        raise InputError(f"is needed by the judge {settings.judge}", field="--model")
    manifest = None if settings.remote else load_manifest(model)
    if settings.judge == "captioner":
        from ipcir_steps.verify.captioner import Captioner

        return Captioner(manifest, captions)
    from ipcir_steps.verify.chat import open_chat
    from ipcir_steps.verify.questions import Grid, YesNo

    return {"yes_no": YesNo, "grid": Grid}[settings.judge](settings, open_chat(settings.chat, manifest))


def judged(asked: Asked, judge: Judge, pictures: Pictures, cache: Cache) -> dict | StepFailure:
    """{"judged": [{"images", "values"}], "failed": [{"image", "reason"}]} of one query.

    Judges of single candidates give one entry with all of them; others one for each distinct set. values: log-odds
    rounded to 6 digits, null where ``failed`` has the reason. Each pair (or set) is asked about once and for all:
    answers are kept in the cache by judge, request and the digests of the images; failures are not.
    """
    if not asked.sets:
        return StepFailure("no list has candidates")
    try:
        request = judge.request(asked, pictures)
    except StepFailure as failure:
        return failure
    key = [judge.digest, request]
    entries, failed = [], {}
    for names in asked.sets if judge.together else [asked.candidates]:
        values = (_of_set if judge.together else _of_each)(asked, names, judge, pictures, cache, key)
        failed |= {name: str(value) for name, value in zip(names, values, strict=True) if not _known(value)}
        entries.append({"images": list(names), "values": [v if _known(v) else None for v in values]})
    return {"judged": entries, "failed": [{"image": name, "reason": why} for name, why in failed.items()]}


def _known(value) -> bool:
    return isinstance(value, float)


def _of_each(asked, names, judge, pictures, cache, key) -> Values:
    digests = _digests(names, pictures)
    found = {n: cache.get([*key, d]) if isinstance(d, str) else d for n, d in zip(names, digests, strict=True)}
    waiting = [name for name in names if found[name] is None]
    for name, value in zip(waiting, judge.values(asked, waiting, pictures) if waiting else [], strict=True):
        found[name] = _checked(value)
        if _known(found[name]):
            cache.put([*key, pictures.digest(name)], found[name])
    return [found[name] for name in names]


def _of_set(asked, names, judge, pictures, cache, key) -> Values:
    digests = _digests(names, pictures)
    if broken := [value for value in digests if isinstance(value, StepFailure)]:
        return [broken[0]] * len(names)
    values = cache.get([*key, digests])
    if values is None:
        values = [_checked(value) for value in judge.values(asked, names, pictures)]
        if all(map(_known, values)):
            cache.put([*key, digests], values)
    return values


def _digests(names: Sequence[str], pictures: Pictures) -> list[str | StepFailure]:
    found: list[str | StepFailure] = []
    for name in names:
        try:
            found.append(pictures.digest(name))
        except StepFailure as failure:
            found.append(failure)
    return found


def _checked(value: float | StepFailure) -> float | StepFailure:
    if isinstance(value, StepFailure):
        return value
    return round(float(value), 6) if math.isfinite(value) else StepFailure("the judgement is not a number")
