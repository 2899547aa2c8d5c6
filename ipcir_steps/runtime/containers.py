"""Container images of the model families: ``ipcir containers build`` makes them, ``ipcir containers check`` verifies.

An image holds the package itself, so it is stale as soon as a step's code, a pinned version or its definition changes.
Beside each image ``containers/{family}.sif.json`` records its sha256 and the digests of what it was built from.
"""

import argparse
import datetime
import json
import logging
import os
import re
from pathlib import Path

from ipcir_steps.core.arguments import Directory
from ipcir_steps.core.errors import InputError, IPCIRError
from ipcir_steps.core.files import digest, read_json, sha256, stamp, write_json

log = logging.getLogger("containers")
DIRECTORY = Path("containers")  # relative to the repository's root, where everything here is run


def families(directory: Path = DIRECTORY) -> list[str]:
    return sorted(path.stem for path in directory.glob("*.def"))


def record_of(image: Path) -> Path:
    return image.with_name(image.name + ".json")


def sources(definition: Path, root: Path = Path()) -> dict[str, str]:
    """{path: sha256} of every file that the definition's ``%files`` copies into the image; paths relative to root.

    Raises InputError when the definition names a file that does not exist.
    """
    section = re.search(r"^%files\n((?:[ \t]+.*\n|\n)*)", definition.read_text(encoding="utf-8"), re.MULTILINE)
    found = {}
    for line in (section[1] if section else "").splitlines():
        if not line.split() or line.lstrip().startswith("#"):
            continue
        path = root / line.split()[0]
        if not path.exists():
            raise InputError(f"{path} does not exist", file=definition, field="%files", remedy="Run it from the root.")
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and file.suffix != ".pyc" and not any(part.startswith(".") for part in file.parts):
                found[file.relative_to(root).as_posix()] = sha256(file)
    return found


def stale(image: Path, definition: Path, root: Path = Path(), *, trust_time: bool = False) -> str | None:
    """Why an image must not be used, or None: it is absent, not the recorded one, or made from other files.

    trust_time: an image that was verified before and has the same size and time since is not read again.
    """
    if not image.is_file():
        return "there is no image"
    try:
        record = read_json(record_of(image))
        known, definition_sha256, inputs = record["image_sha256"], record["definition_sha256"], record["inputs"]
    except (IPCIRError, KeyError, TypeError):
        return f"{record_of(image)} does not say what it was built from"
    seen = _verified(image)
    verified = [known, *(stamp(image) or ())]
    if not (trust_time and _read(seen) == verified):
        if sha256(image) != known:
            return "the image has changed since it was built"
        if os.access(image.parent, os.W_OK):
            write_json(seen, verified)
    if sha256(definition) != definition_sha256:
        return f"{definition} has changed since it was built"
    now = sources(definition, root)
    changed = sorted(name for name in now.keys() | inputs.keys() if now.get(name) != inputs.get(name))
    if changed:
        more = f" and {len(changed) - 1} more" if changed[1:] else ""
        return f"{changed[0]}{more} changed since it was built"
    return None


def _verified(image: Path) -> Path:
    """Remembers the digest, size and time of an image that was read whole."""
    return image.with_name(f".{image.name}.verified")


def _read(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def refuse_stale(names: list[str] | None = None, directory: Path = DIRECTORY) -> None:
    """Raises InputError naming the first image that must not be used; for the start of a run."""
    for name in names or families(directory):
        image = directory / f"{name}.sif"
        reason = stale(image, directory / f"{name}.def", directory.parent, trust_time=True)
        if reason:
            raise InputError(reason, file=image, remedy=f"Run `ipcir containers build {name}`.")


def build(name: str, directory: Path = DIRECTORY, *, bootstrap=None, base=None, bind=None, fakeroot=False) -> Path:
    """Build one image beside its final place, run its ``%test``, put it in place and record it; return its path.

    bootstrap, base: where the base image comes from, when not the definition's default (``localimage``, a file).
    bind: paths shown to ``%post``, such as a folder of packages on a closed network.
    Raises InputError when Apptainer is absent or the build fails.
    """
    from spython.main import Client

    definition, image = directory / f"{name}.def", directory / f"{name}.sif"
    if not definition.is_file():
        raise InputError(f"there is no {definition}", field="family", remedy=f"Choose one of {', '.join(families())}.")
    inputs, before = sources(definition, directory.parent), sha256(definition)
    options = ["--force"] + (["--fakeroot"] if fakeroot else []) + (["--bind", bind] if bind else [])
    for key, value in (("BOOTSTRAP", bootstrap), ("BASE", base)):
        options += ["--build-arg", f"{key}={value}"] if value else []
    unfinished = image.with_name(f".{image.stem}.building.sif")
    try:
        version = Client.version()
        lines = []
        _, output = Client.build(
            str(definition), str(unfinished), sudo=False, stream=True, options=options, quiet=True
        )  # fmt: skip
        for line in output:
            lines = [*lines[-20:], line.rstrip()]
            log.info("%s: %s", name, line.rstrip())
    except (SystemExit, FileNotFoundError) as error:
        raise InputError(
            "Apptainer could not be run", file=definition, remedy="Install it: https://apptainer.org/docs/admin"
        ) from error
    except Exception as error:  # spython raises what its subprocess raised
        unfinished.unlink(missing_ok=True)
        raise InputError(f"could not be built ({lines[-1] if lines else error})", file=definition) from error
    if not unfinished.is_file():
        raise InputError(f"could not be built ({lines[-1] if lines else 'no output'})", file=definition)
    unfinished.replace(image)
    base_sha256 = sha256(base) if base and Path(base).is_file() else None
    record = {
        "family": name,
        "image_sha256": sha256(image),
        "definition_sha256": before,
        "inputs_sha256": digest(inputs),
        "base": {"bootstrap": bootstrap, "base": base, "sha256": base_sha256},
        "apptainer": version,
        "built": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "inputs": inputs,
    }
    write_json(record_of(image), record)
    write_json(_verified(image), [record["image_sha256"], *stamp(image)])
    return image


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["build", "check"], help="build, or verify what was built")
    parser.add_argument("family", nargs="*", help="default: all")
    parser.add_argument(
        "--directory", type=Directory, default=str(DIRECTORY), help="where the definitions and images lie"
    )
    parser.add_argument("--bootstrap", help="build: BOOTSTRAP of the definition, such as docker or localimage")
    parser.add_argument("--base", help="build: BASE of the definition, such as an image file")
    parser.add_argument("--bind", help="build: paths to show while packages are installed, separated by commas")
    parser.add_argument("--fakeroot", action="store_true", help="build: without being root")
    parser.add_argument("--force", action="store_true", help="build: images that are up to date as well")


def main(args: argparse.Namespace) -> int:
    bad = 0
    for name in args.family or families(args.directory):
        definition, image = args.directory / f"{name}.def", args.directory / f"{name}.sif"
        if not definition.is_file():
            known = ", ".join(families(args.directory))
            raise InputError(f"there is no {definition}", field="family", remedy=f"Choose one of {known}.")
        reason = stale(image, definition, args.directory.parent)
        if args.action == "build" and (reason or args.force):
            build(
                name, args.directory, bootstrap=args.bootstrap, base=args.base, bind=args.bind, fakeroot=args.fakeroot
            )
            reason, done = None, "built"
        else:
            done = "is up to date"
        print(f"{image}: {reason or done}" + (f". Run `ipcir containers build {name}`." if reason else ""))
        bad += reason is not None
    return 1 if bad else 0
