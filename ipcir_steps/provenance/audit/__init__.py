"""Where does this figure come from? The chain down to annotations and weights, hashed again, link by link."""

import argparse
import json
import time
from pathlib import Path

from ipcir_steps import provenance
from ipcir_steps.core.arguments import Directory, InFile
from ipcir_steps.core.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=InFile, nargs="*", metavar="FILE", help="figures or files to trace")
    parser.add_argument(
        "--all", action="store_true", help="verify everything that has a record, and find what has none"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument(
        "--configfile", nargs="+", metavar="FILE", help="configuration to compare with (default: the files of each run)"
    )
    parser.add_argument("--records", type=Directory, help="directory of the records (default: provenance)")


def main(args: argparse.Namespace) -> int:
    """0 when everything is verified, 1 when a link is broken or stale."""
    from ipcir_steps.provenance.audit import report
    from ipcir_steps.provenance.audit.library import Library

    if bool(args.files) == args.all:
        raise InputError("name either files or --all", file="ipcir audit")
    root = args.records or provenance.directory()
    if root is None:
        raise InputError("recording is switched off", field="IPCIR_PROVENANCE", remedy="Name the records' directory.")
    library = Library(root)
    results = []
    for path in args.files or [None]:
        started = time.perf_counter()
        result = audit(library, path, args.configfile)
        results.append(result | {"seconds": round(time.perf_counter() - started, 2)})
    if args.json:
        print(json.dumps(results[0] if len(results) == 1 else results, ensure_ascii=False, indent=2))
    else:
        print("\n\n".join(map(report.text, results)))
    return 0 if all(result["status"] == "verified" for result in results) else 1


def audit(library, path: Path | None, configfiles: list[str] | None = None) -> dict:
    """The audit of one file, or of everything (None), as plain values.

    "status": verified, broken or stale; "problems": first broken link first; "links": the chain from the file down.
    """
    from ipcir_steps.provenance.audit import report
    from ipcir_steps.provenance.audit.chain import Chain
    from ipcir_steps.provenance.audit.stale import Configuration

    configuration = Configuration(configfiles)
    chain = Chain(library, configuration.changes)
    target, notes = None, []
    if path is None:
        chain.trace_all()
    else:
        target, notes = find(library, chain, path)
        chain.trace(target)
    return report.result(target, chain, [*notes, *configuration.notes])


def find(library, chain, path: Path) -> tuple[str, list[str]]:
    """The recorded path of a file: its own, or that of the picture whose record id it carries."""
    from ipcir_steps.provenance.audit.pictures import carried
    from ipcir_steps.provenance.digests import shown

    name = shown(path)
    if library.producer(name) is not None:
        return name, []
    if not path.is_file():
        raise InputError("does not exist and has no record", file=path)
    identity = carried(path)
    record = identity and library.by_id(identity, chain.digest(name))
    if not record:
        return name, [f"the picture carries record {identity[:12]}…, which is not here"] if identity else []
    files = {made: value for entry in record["outputs"] for made, value in library.files(entry).items()}
    alike = [made for made in files if Path(made).suffix == path.suffix]
    same = [made for made in alike if files[made] == chain.digest(name)]
    state = "the same bytes" if same else "other bytes than the record's"
    return (same or alike)[0], [f"{name} carries the record of {(same or alike)[0]} ({state})"]
