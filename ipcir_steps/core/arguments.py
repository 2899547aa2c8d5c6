"""Types of path arguments: each says what a command does with its path, so that a record can tell inputs from outputs.

``parser.add_argument("--svg", type=OutFile)``. They are paths like any other; ``provenance`` looks at the type.
"""

import argparse
from pathlib import Path


class PathArgument(type(Path())):
    """A path that was given on the command line. Commands use one of the types below."""


class InFile(PathArgument):
    """A file, a model's manifest, or a directory of which everything is read. Its digest is taken before the work."""


class RoleFile(InFile):
    """``ROLE=FILE``: a file and what it is to the command, which is in ``role``: the role of a model (its manifest,
    directory or file), or the name of a subset (its query ids)."""

    role: str

    @classmethod
    def parse(cls, text: str) -> "RoleFile":
        """For ``type=`` of an argument.

        >>> RoleFile.parse("migc=models/migc.json").role
        'migc'
        """
        role, sign, path = text.partition("=")
        if not (role.isidentifier() and sign and path):
            raise argparse.ArgumentTypeError(f"{text!r} is not ROLE=FILE")
        found = cls(path)
        found.role = role
        return found


class ImageList(InFile):
    """JSON lines that name images below the command's ``Root`` (``path``, or ``images``), all of which are read."""


class Root(PathArgument):
    """A directory of which single files are read: those are recorded, together as one input."""


class OutFile(PathArgument):
    """A file that is written."""


class OutImageList(OutFile):
    """JSON lines that name the images (``images``) which were written below the command's ``OutImages``."""


class OutImages(PathArgument):
    """A directory of which the command makes the images that its ``OutImageList`` names; others make others."""


class OutManifest(OutFile):
    """A model's manifest: the files that it lists are an input."""


class OutTree(PathArgument):
    """A directory that is written whole."""


class Directory(PathArgument):
    """A directory in which files are read and written that are recorded one by one."""


class Scratch(PathArgument):
    """A cache or a place of work: nothing in it is an input or an output."""
