"""Verify a results tree: what is damaged, what is unfinished, and the command that rebuilds just that.

Files are opened and cross-checked (rows against queries and gallery, gathered files against shards, shards against
their journals, images against the index), and compared with the digests in the records of the steps that wrote them.
Nothing is changed, except with ``--clean``, which removes what killed runs left behind.
"""

import argparse
import base64
import binascii
import dataclasses
import functools
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from ipcir_steps.core import paths
from ipcir_steps.core.arguments import Directory
from ipcir_steps.core.errors import InputError, IPCIRError
from ipcir_steps.core.files import read_jsonl
from ipcir_steps.runtime.doctor import checks
from ipcir_steps.steps import SHARDED, STEPS


@dataclasses.dataclass(frozen=True)
class Finding:
    """path: what is damaged; problem: in words; rebuild: the file whose removal and rerun repairs it."""

    path: Path
    problem: str
    rebuild: Path


def examine(directory: Path) -> list[Finding]:
    """All damage below a workflow's directory (``results``, ``resources/manifests``), one finding per file."""
    if not (directory / paths.RESULTS).is_dir():
        raise InputError("holds no results", file=directory, remedy="Name the directory that the workflow ran in.")
    found: dict[Path, Finding] = {}
    for finding in [*_files(directory), *_images(directory), *_recorded(directory), *_models(directory)]:
        found.setdefault(finding.path, finding)
    return list(found.values())


def _visible(root: Path) -> list[Path]:
    files = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".part")
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(root).parts))


def _files(directory: Path) -> Iterator[Finding]:
    for path in _visible(directory / paths.RESULTS):
        if paths.fields(IMAGE, path.relative_to(directory)):
            continue  # checked by digest
        problem = checks.opened(path)
        if problem is None:
            try:
                problem = next(_cross(path, directory), None)
            except IPCIRError:
                problem = None  # another file is damaged, and reported there
        if problem is not None:
            yield Finding(path, problem, path)


def _cross(path: Path, directory: Path) -> Iterator[str]:
    """What does not fit the files beside it."""
    for template, check in CROSS.items():
        if place := paths.Place.of(template, path, directory):
            yield from check(path, place)
            return


IMAGE = f"{paths.PROXY_IMAGES}/{{query}}/{{image}}.png"
CROSS = {
    **dict.fromkeys((paths.FEATURES, paths.FUSED, paths.TEXT), checks.features),
    **dict.fromkeys((paths.RANKINGS, paths.SUBSET), checks.rankings),
    **dict.fromkeys((paths.SHARD, paths.ROUND_SHARD), lambda path, place: checks.journaled(path)),
    **{STEPS[name].gathered: functools.partial(checks.gathered, step=name) for name in SHARDED},
}


def _images(directory: Path) -> Iterator[Finding]:
    for index, values in paths.found(paths.PROXY_INDEX, directory):
        if checks.opened(index):
            continue
        shard_of = {}
        place = paths.Place(directory, values)
        for shard in [*place.found(paths.SHARD, step="proxies"), *place.found(paths.ROUND_SHARD)]:
            if not checks.opened(shard):
                shard_of |= {name: shard for record in read_jsonl(shard) for name in record.get("images", ())}
        for path, name, problem in checks.images(index):
            yield Finding(path, problem, shard_of.get(name, index))


def _recorded(directory: Path) -> Iterator[Finding]:
    for record in sorted((directory / paths.RECORDS / paths.RESULTS).rglob("*.json")):
        for path, problem in checks.recorded(directory, record):
            yield Finding(path, problem, path)


def _models(directory: Path) -> Iterator[Finding]:
    from ipcir_steps.core.manifests import Manifest, check

    for path in sorted((directory / paths.MANIFESTS).rglob("*.json")):
        if any(part.startswith(".") for part in path.relative_to(directory).parts):
            continue
        try:
            manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            yield Finding(path, f"is not a model's manifest ({error})", path)
            continue
        for file, problem in check(manifest, directory):
            yield Finding(file, f"model '{manifest.name}': {problem}", path)


def unfinished(directory: Path) -> list[str]:
    """What goes on with the next run: journals of unfinished steps, and outputs that Snakemake marked."""
    lines = []
    for part in sorted((directory / paths.RESULTS).rglob("*.part")):
        intact, damaged = checks.lines_of(part) if ".jsonl" in part.name else (None, 0)
        state = "in batches" if intact is None else f"{max(intact - 1, 0)} records"
        lines.append(f"{part}: {state} kept{f', {damaged} bytes behind them are cut off' if damaged else ''}")
    for marker in sorted((directory / ".snakemake/incomplete").rglob("*")):
        try:
            lines.append(f"{base64.b64decode(marker.name, validate=True).decode()}: was being written")
        except (binascii.Error, UnicodeDecodeError):
            continue
    return lines


def leftovers(directory: Path) -> list[Path]:
    """Temporary files of killed runs. Files of a step that still runs look the same."""
    hidden = (path for path in (directory / paths.RESULTS).rglob(".*") if path.is_file() and path.suffix != ".journal")
    return sorted(path for path in hidden if path.name.count(".") > 2)


def command(files: list[Path], directory: Path) -> str:
    """What rebuilds the files: the configuration files are those of the last record."""
    names = [shlex.quote(str(path.relative_to(directory))) for path in files]
    records = list((directory / paths.RECORDS).rglob("*_metrics.json.json"))
    configured = []
    if records:
        told = json.loads(max(records, key=lambda path: path.stat().st_mtime).read_text()).get("configuration", {})
        configured = [name for name in told.get("configfiles", ()) if name != "config.yaml"]
    more = f" --configfile {shlex.join(configured)}" if configured else ""
    return f"rm -f {' '.join(names)} && snakemake --cores all {' '.join(names)}{more}"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", type=Directory, nargs="?", default=".", help="where the workflow ran (default: here)"
    )
    parser.add_argument(
        "--clean", action="store_true", help="remove temporary files of killed runs; stop all runs first"
    )


def main(args: argparse.Namespace) -> int:
    findings = examine(args.directory)
    for line in unfinished(args.directory):
        print(f"unfinished  {line}")
    for path in leftovers(args.directory):
        print(f"{'removed' if args.clean else 'left behind'}  {path}")
        if args.clean:
            path.unlink(missing_ok=True)
    for finding in findings:
        print(f"DAMAGED  {finding.path}: {finding.problem}")
    if not findings:
        print("Nothing is damaged.")
        return 0
    rebuild = list(dict.fromkeys(finding.rebuild for finding in findings))
    print(f"\n{len(findings)} damaged. This rebuilds just that, from what is intact:\n")
    print(f"  {command(rebuild, args.directory)}")
    return 1
