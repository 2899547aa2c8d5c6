"""Functions and classes of one's own, named in the configuration as ``package.module:name``."""

import importlib
import os
import sys

from ipcir_steps.core.files import used


def load(name: str):
    """What ``package.module:name`` names. The module may lie in the working directory, which is searched last.

    Raises ImportError or AttributeError when there is no such thing.
    """
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    found = importlib.import_module(module)
    if found.__file__:
        used(found.__file__)
    return getattr(found, attribute)
