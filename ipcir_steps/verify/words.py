"""The two words that a chat model answers with, as its tokenizer writes them."""

from pathlib import Path

from ipcir_steps.core.errors import ModelError

YES, NO = "yes", "no"
FORMS = ("{}", "{} ", " {}")  # as the first token of an answer may be written, in any case


def telling_tokens(tokenizer, path: Path) -> dict[str, list[int]]:
    """Tokens that begin each word, and not the other. Raises ModelError naming the path when there are none."""
    found = {word: first_tokens(tokenizer, word) for word in (YES, NO)}
    own = {word: sorted(found[word] - found[other]) for word, other in ((YES, NO), (NO, YES))}
    if not all(own.values()):
        raise ModelError(f"{path}: its tokenizer cannot tell {YES} from {NO} by the first token")
    return own


def first_tokens(tokenizer, word: str) -> set[int]:
    """The first tokens of a word as an answer may begin with it."""
    forms = [form.format(case) for form in FORMS for case in (word, word.capitalize(), word.upper())]
    return {ids[0] for text in forms if (ids := tokenizer.encode(text, add_special_tokens=False))}
