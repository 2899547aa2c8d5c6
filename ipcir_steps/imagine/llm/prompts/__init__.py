"""Prompts are files: YAML with ``version``, ``system``, ``user``, optional ``examples`` and ``image``; see
docs/language.md."""

import dataclasses
import re
from collections.abc import Collection
from pathlib import Path

import yaml

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import digest, used

HERE = Path(__file__).parent
FIELDS = {"caption", "captions", "relative_caption"}
PER_CAPTION = FIELDS - {"captions"}  # of a prompt that is asked for each source caption by itself
SIDE = 1024  # pixels of the longer side of a picture that is shown, where a prompt does not say


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A conversation with the placeholders {caption}, {captions} and {relative_caption} in its last message.

    longest: pixels of the longer side of the reference picture that the last message shows; None: it shows none.
    """

    messages: tuple[tuple[str, str], ...]  # (role, content)
    version: int
    longest: int | None = None

    @property
    def sees(self) -> bool:
        return self.longest is not None

    @property
    def digest(self) -> str:
        return digest([self.version, self.messages, *([self.longest] if self.sees else [])])

    def render(self, **fields: str) -> list[dict[str, str]]:
        """Chat messages. Values are inserted as they are: braces in a caption have no meaning."""
        *before, (role, user) = self.messages
        user = re.sub(r"\{(\w+)\}", lambda match: fields[match[1]], user)
        return [{"role": r, "content": c} for r, c in (*before, (role, user))]


def load_prompt(name: str, fields: Collection[str] = FIELDS) -> Prompt:
    """A prompt of this directory by name, or any prompt file by path. Raises InputError naming what is wrong.

    fields: the placeholders that its step fills in.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else HERE / f"{name}.yaml"
    remedy = f"Use one of {', '.join(sorted(p.stem for p in HERE.glob('*.yaml')))} or a path ending in .yaml."
    try:
        content = yaml.safe_load(used(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot be read as a prompt ({error})", file=path, remedy=remedy) from error
    if not isinstance(content, dict) or not isinstance(content.get("user"), str):
        raise InputError("is missing or is not a text", file=path, field="user", remedy=remedy)
    unknown = set(re.findall(r"\{(\w+)\}", content["user"])) - set(fields)
    if unknown:
        problem = f"unknown placeholder {{{min(unknown)}}}"
        raise InputError(problem, file=path, field="user", remedy=f"Placeholders are {', '.join(sorted(fields))}.")
    messages = [("system", content["system"].strip())] if content.get("system") else []
    try:
        for example in content.get("examples", ()):
            messages += [("user", example["user"].strip()), ("assistant", example["assistant"].strip())]
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError("is not a list of {user, assistant}", file=path, field="examples") from error
    messages.append(("user", content["user"].strip()))
    return Prompt(tuple(messages), int(content.get("version", 1)), _longest(content.get("image", False), path))


def _longest(image: object, path: Path) -> int | None:
    """``image`` of a prompt file: false, true, or the longer side in pixels."""
    if isinstance(image, bool):
        return SIDE if image else None
    if not isinstance(image, int) or not 32 <= image <= 8192:
        raise InputError("is not true, false or 32 to 8192 pixels", file=path, field="image")
    return image
