"""Functions and classes of one's own, named in the configuration as ``package.module:name``."""

import importlib
import os
import sys


def load(name: str):
    """What ``package.module:name`` names. The module may lie in the working directory, which is searched last.

    Raises ImportError or AttributeError when there is no such thing.
    """
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return getattr(importlib.import_module(module), attribute)
