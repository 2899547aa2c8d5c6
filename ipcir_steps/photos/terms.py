"""What a person types: texts and pictures, each with a weight; negative ones push photos away."""

import dataclasses
import re

from ipcir_steps.core.errors import InputError

LONGEST = 2000  # characters of a question
MOST = 32  # terms of a question
_WEIGHT = r"(\d+(?:\.\d+)?|\.\d+):"
# A term begins at the start, after ";", or at a word with a sign or a weight before it.
_BEGIN = re.compile(rf"(?:^|;|(?<=\s))\s*(?P<sign>[+-](?=[^\W\d_]|[\d.]+:))?(?:{_WEIGHT}(?=[^\W\d_]))?")


@dataclasses.dataclass(frozen=True)
class Term:
    text: str
    weight: float = 1.0


def parse(text: str) -> tuple[Term, ...]:
    """The terms of a line of text.

    >>> parse("at night, with a dog -people 2:snow")
    (Term(text='at night, with a dog', weight=1.0), Term(text='people', weight=-1.0), Term(text='snow', weight=2.0))
    >>> parse("a t-shirt at 10:30; -.5:red")
    (Term(text='a t-shirt at 10:30', weight=1.0), Term(text='red', weight=-0.5))

    Raises InputError when it is too long, or holds too many terms.
    """
    if len(text) > LONGEST:
        raise InputError(f"has {len(text)} characters; at most {LONGEST} are read", field="text")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    begins = [match for match in _BEGIN.finditer(text) if match.group().strip() or match.start() == 0]
    terms = []
    for match, following in zip(begins, [*begins[1:], None], strict=True):
        words = text[match.end() : following.start() if following else len(text)].strip(" ;")
        if words:
            sign, weight = match.group("sign"), float(match.group(2) or 1)
            terms.append(Term(words, -weight if sign == "-" else weight))
    if len(terms) > MOST:
        raise InputError(f"holds {len(terms)} terms; at most {MOST} are read", field="text")
    return tuple(terms)


def weighted(text: str) -> tuple[str, float]:
    """(rest, weight) of a text that may begin with a weight, as in ``2:beach.jpg`` or ``-1:beach.jpg``."""
    match = re.match(rf"([+-]?){_WEIGHT}(?=.)", text)
    if not match:
        return text, 1.0
    weight = float(match[2])
    return text[match.end() :], -weight if match[1] == "-" else weight
