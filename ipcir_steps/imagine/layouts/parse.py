"""Reading a model's answer: tolerant of its form, strict in the layout that comes out, linear in its length."""

import json
import math
import re
from collections.abc import Mapping

import pydantic

from ipcir_steps.imagine.layouts.schema import MOST_INSTANCES, Instance, Layout, LayoutError

LONGEST = 200_000  # characters
STARTS = 8  # places where JSON may begin; a bound keeps reading linear
ALIASES = {
    "label": ("label", "name", "object"),
    "category": ("category", "cate", "class"),
    "description": ("description", "desc"),
    "box": ("box", "bbox", "bounding_box"),
    "size": ("size",),
    "from_query": ("from_query", "from"),
    "modality": ("modality", "ref"),
    "is_scene": ("is_scene",),
}
LEAST_SIDE = 0.02
TRUE, FALSE = {"1", "true", "yes"}, {"0", "false", "no", "none", "null", ""}


def parse_layout(answer: str | Mapping | list, reading: str = "careful") -> Layout:
    """Read a layout from a model's text, or from JSON in this project's form or that of the released layouts.

    Tolerated: words, code fences and brackets around the JSON, trailing commas, a cut-off end, other names
    of fields, numbers as text, ranges such as "3-4", coordinates in percent or per mille, swapped corners.
    reading: "careful" takes the middle of a range of sizes, joins several scenes, and lets only what is in the
    reference be drawn like it; "released" does as the released code: the least digit of a range, the first scene, the
    modality as it is stated.
    Raises LayoutError, and nothing else, naming the first field that cannot be read.
    """
    value = _load(answer) if isinstance(answer, str) else answer
    items, scenes = _entries(value)
    if len(items) > 2 * MOST_INSTANCES:
        raise LayoutError("instances", f"are {len(items)}, more than {MOST_INSTANCES}")
    instances = []
    for number, item in enumerate(items):
        where = f"instances[{number}]"
        if not isinstance(item, Mapping):
            raise LayoutError(where, "is not an object")
        if _flag(_get(item, "is_scene"), default=False, where=f"{where}.is_scene"):
            scenes.append(_text(_get(item, "description")) or _text(_get(item, "label")))
        elif (instance := _instance(item, where, reading)) not in instances:
            instances.append(instance)
    named = list(dict.fromkeys(filter(None, scenes)))
    scene = "; ".join(named if reading == "careful" else named[:1])
    try:
        return Layout(scene=scene, instances=tuple(instances))
    except pydantic.ValidationError as error:
        raise _layout_error(error, "") from error


def _load(text: str):
    if len(text) > LONGEST:
        raise LayoutError("answer", f"is longer than {LONGEST} characters")
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    starts = [match.start() for _, match in zip(range(STARTS), re.finditer(r"[{\[]", text), strict=False)]
    for start in starts:
        for mend in (str, _without_trailing_commas, _close):
            try:
                value, _ = decoder.raw_decode(mend(text[start:]))
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
                return value
    raise LayoutError("answer", "holds no JSON object")


def _no_constant(name: str):
    raise ValueError(name)


def _without_trailing_commas(text: str) -> str:
    return re.sub(r",\s*([}\]])", r"\1", text)


def _close(text: str) -> str:
    """End a cut-off JSON text after its last complete element."""
    stack, safe, quoted, escaped = [], (0, ""), False, False
    for position, character in enumerate(text):
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "{[":
            stack.append("}" if character == "{" else "]")
        elif character in "}]":
            if not stack or stack.pop() != character:
                break
            if character == "}" and len(stack) < 4:
                safe = (position + 1, "".join(reversed(stack)))
    return text[: safe[0]] + safe[1]


def _entries(value) -> tuple[list, list[str]]:
    """The list of items, and the scenes named beside it."""
    scenes = []
    for _ in range(3):
        if not isinstance(value, Mapping):
            break
        scene = value.get("scene", value.get("background"))
        scenes.append(_text(_get(scene, "description") if isinstance(scene, Mapping) else scene))
        inner = next((value[k] for k in ("instances", "layout", "objects") if k in value), None)
        if inner is None:
            raise LayoutError("instances", "is missing")
        value = inner
    if not isinstance(value, (list, tuple)):
        raise LayoutError("instances", "is not a list")
    return list(value), scenes


def _get(item: Mapping, field: str):
    return next((item[name] for name in ALIASES[field] if name in item), None)


def _instance(item: Mapping, where: str, reading: str) -> Instance:
    label, category, description = (_text(_get(item, name)) for name in ("label", "category", "description"))
    named = label or category or description
    if not named:
        raise LayoutError(f"{where}.label", "is empty")
    modality = _modality(_get(item, "modality"), where)
    from_query = _flag(_get(item, "from_query"), default=modality == "image", where=f"{where}.from_query")
    size = _size(_get(item, "size"), reading)
    values = {
        "label": label or named,
        "category": category or named,
        "description": description or named,
        "box": _box(_get(item, "box"), size, f"{where}.box"),
        "size": size,
        "from_query": from_query,
        "modality": _drawn_as(modality, from_query, reading),
    }
    try:
        return Instance(**values)
    except pydantic.ValidationError as error:
        raise _layout_error(error, f"{where}.") from error


def _drawn_as(modality: str | None, from_query: bool, reading: str) -> str:
    """Careful: only what is in the reference image can be drawn like it."""
    if reading == "released":
        return modality or "text"
    return (modality or "image") if from_query else "text"


def _layout_error(error: pydantic.ValidationError, prefix: str) -> LayoutError:
    first = error.errors(include_url=False, include_input=False)[0]
    return LayoutError(prefix + ".".join(map(str, first["loc"])), first["msg"])


def _text(value) -> str:
    """One line of printable text without the brackets and marks that models leave at the end."""
    if not isinstance(value, str):
        return ""
    line = " ".join("".join(c if c.isprintable() else " " for c in value[:2400]).split())
    return line.rstrip("]#[ ").strip('"`,; ')


def _flag(value, default: bool, where: str) -> bool:
    if value is None:
        return default
    word = str(value).strip().lower() if isinstance(value, (str, bool)) or value in (0, 1) else None
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise LayoutError(where, "is neither true nor false")


def _modality(value, where: str) -> str | None:
    if value is None:
        return None
    word = re.match(r"\W*(image|text)\b", value[:40].lower()) if isinstance(value, str) else None
    if word is None:
        raise LayoutError(f"{where}.modality", "is neither 'image' nor 'text'")
    return word[1]


def _size(value, reading: str) -> float:
    """A rating, or the middle of a range; 3 where none is stated, kept within 1 to 5."""
    if reading == "released":
        return _least_digit(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        numbers = [value]
    else:
        found = re.match(
            r"\s*(\d{1,3}(?:\.\d{1,3})?)(?:\s*-\s*(\d{1,3}(?:\.\d{1,3})?))?",
            value[:40] if isinstance(value, str) else "",
        )
        numbers = [number for number in found.groups() if number] if found else [3]
    numbers = [min(5.0, max(1.0, number)) for number in map(_float, numbers) if math.isfinite(number)]
    return sum(numbers) / len(numbers) if numbers else 3.0


def _least_digit(value) -> float:
    """The rating that the released enrichment reads: a number from 1 to 5, else the least of these digits in the text.

    >>> _least_digit("3-4"), _least_digit("2.5"), _least_digit(7), _least_digit(None)
    (3.0, 2.5, 3.0, 3.0)
    """
    number = _float(value)
    if math.isfinite(number) and 1 <= round(number) <= 5:
        return min(5.0, max(1.0, number))
    return float(next((digit for digit in "12345" if digit in str(value)[:40]), 3))


def _float(value) -> float:
    """As a float; NaN when it is none or too large to be one."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _box(value, size: float, where: str) -> tuple[float, float, float, float]:
    if isinstance(value, str):
        value = re.findall(r"-?\d{1,9}(?:\.\d{1,20})?", value[:400])
    if isinstance(value, Mapping):
        value = [value.get(name) for name in ("x1", "y1", "x2", "y2")]
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise LayoutError(where, "is not four numbers")
    numbers = [_float(number) for number in value]
    if not all(map(math.isfinite, numbers)):
        raise LayoutError(where, "is not four numbers")
    largest = max(numbers)
    if largest > 1000 or min(numbers) < -1000:
        raise LayoutError(where, "is not in fractions, percent or per mille of the image")
    scale = 1 if largest <= 1.5 else 100 if largest <= 100 else 1000
    x1, y1, x2, y2 = (min(1.0, max(0.0, number / scale)) for number in numbers)
    (x1, x2), (y1, y2) = _side(x1, x2, 0.1 * size), _side(y1, y2, 0.1 * size)
    return x1, y1, x2, y2


def _side(start: float, end: float, length: float) -> tuple[float, float]:
    """In order; what is shorter than LEAST_SIDE becomes ``length`` about its middle, inside [0, 1]."""
    start, end = min(start, end), max(start, end)
    if end - start < LEAST_SIDE:
        start = min(max(0.0, (start + end - length) / 2), 1 - length)
        end = min(1.0, start + length)
    return start, end
