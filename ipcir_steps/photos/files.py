"""Which files of a folder are photos. Names are paths below the folder, with "/", in the order of their text."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from ipcir_steps.core.errors import InputError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".avif"}
)
RAW = frozenset({".arw", ".cr2", ".cr3", ".crw", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"})
# Directories of other programs that hold copies of photos; hidden ones are left out in any case.
COPIES = frozenset({"@eadir", "#recycle", "@recycle", "$recycle.bin", "__macosx", "lost+found"})


def photos(folder: Path, without: Collection[Path] = ()) -> tuple[dict[str, list[int]], dict[str, str]]:
    """({name: [size in bytes, time of change in ns]}, {name: why it cannot be read}) of the photos below ``folder``.

    Left out: hidden files and directories, thumbnails of other programs, a raw file with a developed picture of the
    same name beside it, links that lead out of the folder, and the directories ``without``.
    Raises InputError when the folder cannot be listed.
    """
    if not folder.is_dir():
        raise InputError("is not a folder", file=folder, remedy="Name the folder of your photos.")
    root, skipped = folder.resolve(), {path.resolve() for path in without}
    found: dict[str, list[int]] = {}
    problems: dict[str, str] = {}
    for directory, entries, problem in _walk(root, skipped):
        if problem is not None:
            problems[_name(root, directory)] = problem
        developed = {Path(e.name).stem for e in entries if Path(e.name).suffix.lower() in SUFFIXES}
        for entry in entries:
            path = Path(entry.name)
            suffix = path.suffix.lower()
            if suffix not in SUFFIXES and (suffix not in RAW or path.stem in developed):
                continue
            name = _name(root, entry.path)
            try:
                if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
                    continue
                if not entry.is_file():
                    continue
                name.encode()
                stat = entry.stat()
            except UnicodeEncodeError:
                problems[name.encode("utf-8", "backslashreplace").decode()] = "its name is no UTF-8 text; rename it"
            except OSError as error:
                problems[name] = error.strerror or str(error)
            else:
                found[name] = [stat.st_size, stat.st_mtime_ns]
    return dict(sorted(found.items())), problems


def _walk(root: Path, skipped: Collection[Path]) -> Iterator[tuple[str, list[os.DirEntry], str | None]]:
    """(directory, its entries that are not directories, why it cannot be listed) of each directory that is not left
    out. Links to directories are not followed: they may lead round in circles."""
    waiting = [str(root)]
    while waiting:
        directory, entries, problem = waiting.pop(), [], None
        try:
            with os.scandir(directory) as listed:
                for entry in listed:
                    if entry.name.startswith("."):
                        continue
                    if not entry.is_dir(follow_symlinks=False):
                        entries.append(entry)
                    elif entry.name.lower() not in COPIES and Path(entry.path) not in skipped:
                        waiting.append(entry.path)
        except OSError as error:
            if directory == str(root):
                raise InputError(f"cannot be listed ({error.strerror or error})", file=root) from error
            problem = f"the directory cannot be listed ({error.strerror or error})"
        yield directory, entries, problem


def _name(root: Path, path: str) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/")
