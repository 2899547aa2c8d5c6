"""Custom functions and classes, named in the configuration as ``package.module:name``."""

import ast
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from ipcir_steps.core.files import used


def load(name: str):
    """What ``package.module:name`` names. The module may lie in the working directory, which is searched last.

    Raises ImportError or AttributeError when there is no such thing.
    """
    module, _, attribute = name.partition(":")
    _search_here()
    found = importlib.import_module(module)
    if found.__file__:
        used(found.__file__)
    return getattr(found, attribute)


def source(name: str) -> Path | None:
    """The file of the module that ``package.module:name`` names; None where there is none. It is not imported.

    A file below the working directory is named relative to it.
    """
    _search_here()
    try:
        found = importlib.util.find_spec(name.partition(":")[0])
    except (ImportError, ValueError):
        return None
    if not (found and found.origin and found.origin.endswith(".py")):
        return None
    path = Path(found.origin)
    return path.relative_to(os.getcwd()) if path.is_relative_to(os.getcwd()) else path


def declared(name: str) -> dict[str, object]:
    """The attributes of the class ``package.module:Class`` that its body sets to literals, read without importing it.

    So a workflow can be planned where the module's own packages (torch, …) are not installed. Attributes of a base
    class are not seen. Raises ImportError when the module cannot be found, AttributeError when it has no such class.
    """
    path, wanted = source(name), name.partition(":")[2]
    if path is None:
        raise ImportError(f"no module of that name in {os.getcwd()} or on PYTHONPATH")
    for node in ast.parse(used(path).read_text(encoding="utf-8"), str(path)).body:
        if isinstance(node, ast.ClassDef) and node.name == wanted:
            return dict(_literals(node))
    raise AttributeError(f"{path} has no class {wanted}")


def _literals(node: ast.ClassDef):
    for statement in node.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        try:
            value = ast.literal_eval(getattr(statement, "value", None))
        except (ValueError, TypeError):  # not a literal
            continue
        yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))


def _search_here() -> None:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
