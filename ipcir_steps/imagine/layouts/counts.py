"""Making the number of instances match the number a caption states ("two dogs")."""

import itertools
import re

from ipcir_steps.imagine.layouts.schema import MOST_INSTANCES, Instance, Layout

NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
NUMBERS |= {str(number): number for number in NUMBERS.values()}
# After these a number no longer counts the next noun: "one of the dogs", "two more cats", "one with a hat".
ENDS = frozenset(
    re.findall(
        r"\w+", "of with and or in on at to a an the that is are has more other others another fewer less side hand"
    )
)


def keep_counts(layout: Layout, caption: str) -> tuple[Layout, list[str]]:
    """Drop surplus instances of a counted kind, or split the largest one; return the layout and what was done.

    Looks for a number from one to six directly before a kind that the layout has, as in "two dogs" or "only one
    large dog" (at most two words between). An instance that stands for a group ("two dogs" as one box) counts as
    stated. Where a kind is absent from the layout nothing is added: the caption may count something else.
    """
    repairs = []
    words = re.findall(r"[a-z]+|\d{1,2}", caption.lower()[:2000])
    for position, word in enumerate(words):
        if word not in NUMBERS:
            continue
        phrase = itertools.takewhile(lambda w: w not in ENDS, words[position + 1 : position + 4])
        kinds = [_singular(w) for w in phrase]
        matches = next((m for kind in kinds if (m := _of_kind(layout, kind))), [])
        stated = NUMBERS[word]
        if not matches or len(matches) == stated or any(_is_group(layout.instances[i]) for i in matches):
            continue
        if len(matches) > stated:
            dropped = set(matches[stated:])
            instances = [i for n, i in enumerate(layout.instances) if n not in dropped]
        else:
            missing = stated - len(matches)
            largest = max(matches, key=lambda n: _area(layout.instances[n]))
            instances = list(layout.instances)
            instances[largest : largest + 1] = _split(instances[largest], missing + 1)
        if len(instances) <= MOST_INSTANCES:
            repairs.append(f"{len(matches)} instances of '{layout.instances[matches[0]].category}' made {stated}")
            layout = layout.model_copy(update={"instances": tuple(instances)})
    return layout, repairs


def _singular(word: str) -> str:
    irregular = {"people": "person", "men": "man", "women": "woman", "children": "child"}
    if word in irregular:
        return irregular[word]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _of_kind(layout: Layout, kind: str) -> list[int]:
    def words(text: str) -> set[str]:
        return {_singular(w) for w in re.findall(r"[a-z]+", text.lower())}

    return [n for n, i in enumerate(layout.instances) if kind in words(i.category) or kind == _head(i.label)]


def _head(label: str) -> str:
    """The last word: what an English noun phrase is a kind of."""
    words = re.findall(r"[a-z]+", label.lower())
    return _singular(words[-1]) if words else ""


def _is_group(instance: Instance) -> bool:
    words = re.findall(r"[a-z]+|\d+", instance.label.lower())
    return any(w in NUMBERS for w in words) or "group" in words


def _area(instance: Instance) -> float:
    x1, y1, x2, y2 = instance.box
    return (x2 - x1) * (y2 - y1)


def _split(instance: Instance, parts: int) -> list[Instance]:
    """Side by side along the longer side."""
    x1, y1, x2, y2 = instance.box
    cuts = [(x1 + (x2 - x1) * i / parts, y1 + (y2 - y1) * i / parts) for i in range(parts + 1)]
    boxes = [(a[0], y1, b[0], y2) if x2 - x1 >= y2 - y1 else (x1, a[1], x2, b[1]) for a, b in itertools.pairwise(cuts)]
    return [instance.model_copy(update={"box": box}) for box in boxes]
