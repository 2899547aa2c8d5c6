"""A run as a Workflow Run RO-Crate: every figure with its inputs, the steps, the models and the code that made them."""

import argparse
import io
import json
import shutil
import tempfile
from pathlib import Path

from ipcir_steps import provenance
from ipcir_steps.core import paths
from ipcir_steps.core.arguments import Directory, OutTree
from ipcir_steps.core.errors import InputError

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
CONTEXT = "https://w3id.org/ro/crate/1.1/context"
TERMS = "https://w3id.org/ro/terms/workflow-run#"
LICENSE = "https://spdx.org/licenses/Apache-2.0"
# What is copied into the crate; the rest is named, with its digest.
COPIED = (f"{paths.FIGURES}/", f"{paths.TABLES}/")
MOST = 16 << 20  # bytes of a result file that is copied beside the figures


def build(library, directory: Path, workflow: Path) -> dict:
    """Write the crate into ``directory`` (which must not exist, or be empty). Returns counts of what it lists.

    library: the records. workflow: directory of the Snakefile. Every artefact of a recorded step is an entity with its
    sha256; each step is a CreateAction with its inputs (object) and outputs (result).
    """
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    if not library.records:
        raise InputError("holds no records", file=library.root, remedy="Run the workflow first.")
    if directory.exists() and any(directory.iterdir()):
        raise InputError("is not empty", file=directory, remedy="Name a new directory.")
    crate = ROCrate(version="1.1")
    # As RO-Crate 1.1 has it; later contexts name another address.
    crate.metadata.extra_terms["ComputationalWorkflow"] = "https://bioschemas.org/ComputationalWorkflow"
    crate.metadata.extra_terms["sha256"] = f"{TERMS}sha256"
    crate.name = "IP-CIR run"
    crate.description = (
        "Composed image retrieval with an imagined proxy: figures and tables of a run, with their origin."
    )
    live = [record for record in library.records if _live(record, library)]
    crate.datePublished = max(record["finished"] for record in live)
    crate.license = crate.add(ContextEntity(crate, LICENSE, {"@type": "CreativeWork", "name": "Apache License 2.0"}))
    profiles = [_named(crate, url, "CreativeWork", name) for url, name in PROFILES.items()]
    for profile in profiles:
        profile["version"] = profile.id.rpartition("/")[2]
    crate.root_dataset["conformsTo"] = profiles
    main = _workflow(crate, workflow)
    files = _Files(crate)
    steps = [_step(crate, record, files, library) for record in live]
    _whole_run(crate, main, live, steps, files, library)
    directory.mkdir(parents=True, exist_ok=True)
    crate.write(directory)
    figures = [path for path in files.known if path.startswith(COPIED[0])]
    return {"steps": len(steps), "files": len(files.known), "figures": len(figures)}


def _live(record: dict, library) -> bool:
    """Whether it made something that is still there and that no later step made again."""
    paths = [path for entry in record["outputs"] for path in library.files(entry)]
    return any(library.made[path][0] is record and Path(path).exists() for path in paths)


def _named(crate, identity: str, kind, name: str, **more):
    from rocrate.model.contextentity import ContextEntity

    found = crate.dereference(identity)
    return found or crate.add(ContextEntity(crate, identity, {"@type": kind, "name": name, **more}))


def _workflow(crate, workflow: Path):
    snakefile = workflow / "Snakefile"
    if not snakefile.is_file():
        raise InputError("there is no Snakefile", file=workflow, remedy="Run it in the workflow's directory.")
    main = crate.add_workflow(snakefile, "Snakefile", main=True, lang="snakemake")
    main["name"] = "IP-CIR"
    main["license"] = {"@id": LICENSE}
    for path in sorted([*workflow.glob("rules/**/*.smk"), workflow / "config.yaml"]):
        if path.is_file():
            name = path.relative_to(workflow).as_posix()
            crate.add_file(path, name, properties={"name": name})
    return main


class _Files:
    """Entities of files and directories, one per path: copied when small and shown, else named with their digest."""

    def __init__(self, crate):
        self.crate, self.known = crate, {}

    def entity(self, entry: dict):
        path = entry["path"]
        if path not in self.known:
            self.known[path] = self._add(path, entry)
        return self.known[path]

    def _add(self, path: str, entry: dict):
        from rocrate.model.contextentity import ContextEntity

        about = {"name": path, "sha256": entry["sha256"]}
        copied = path.startswith(COPIED) or Path(path).parent == Path(paths.RESULTS)
        if copied and Path(path).is_file() and Path(path).stat().st_size <= MOST:
            return self.crate.add_file(path, path, properties={**about, "encodingFormat": _format(path)})
        size = {"contentSize": str(entry["bytes"])} if "bytes" in entry else {}
        # It is not in the crate: the digest says which file, or which set of files, it was.
        return self.crate.add(ContextEntity(self.crate, f"#{path}", {"@type": "CreativeWork", **about, **size}))


def _format(path: str) -> str:
    kinds = {".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json", ".csv": "text/csv"}
    return kinds.get(Path(path).suffix, "text/markdown" if path.endswith(".md") else "text/plain")


def _step(crate, record: dict, files: _Files, library):
    """The CreateAction of one record."""
    from rocrate.model.contextentity import ContextEntity

    code = record["code"]
    commit = (code["revision"] or "")[:12]
    version = f"{code['version']}{f'+{commit}' if commit else ''}{'.dirty' if code['dirty'] else ''}"
    step = record["step"]
    tool = _named(crate, f"#ipcir-{step}", "SoftwareApplication", f"ipcir {step}", softwareVersion=version)
    settings = json.dumps(record["parameters"], ensure_ascii=False, sort_keys=True)
    given = _named(crate, f"#parameters-{record['id']}", "PropertyValue", "parameters", value=settings)
    inputs = [files.entity(entry) for entry in record["inputs"]]
    inputs += [_model(crate, model) for model in record["models"]]
    if record["container"]:
        inputs.append(files.entity(record["container"]))
    action = {
        "@type": "CreateAction",
        "name": f"{record['rule'] or step}: {record['outputs'][0]['path']}",
        "description": record["command"],
        "instrument": tool,
        "object": [*inputs, given],
        "result": [files.entity(entry) for entry in record["outputs"]],
        "startTime": record["started"],
        "endTime": record["finished"],
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        "identifier": record["id"],
    }
    made = ContextEntity(crate, f"#step-{record['seal'][:32]}", {k: v for k, v in action.items() if not _linked(v)})
    crate.add(made)
    for name in ("instrument", "object", "result"):
        made[name] = action[name]
    return made


def _linked(value) -> bool:
    return not isinstance(value, str | dict) and value is not None


def _model(crate, model: dict):
    revision = {"version": model["revision"]} if model["revision"] else {}
    about = {"sha256": model["digest"], "isBasedOn": model["source"], **revision}
    return _named(crate, f"#model-{model['digest'][:32]}", "CreativeWork", f"model {model['name']}", **about)


def _is_result(entry: dict) -> bool:
    return paths.fields(paths.RESULT, entry["path"]) is not None


def _whole_run(crate, main, live, steps, files: _Files, library) -> None:
    """The CreateAction of the workflow: from what no step made to figures, tables and result files."""
    from rocrate.model.contextentity import ContextEntity

    made = {entry["path"] for record in live for entry in record["outputs"]}
    sources = [entry for record in live for entry in record["inputs"] if entry["path"] not in made]
    results = [entry for record in live for entry in record["outputs"] if entry["path"].startswith(COPIED)]
    results += [entry for record in live for entry in record["outputs"] if _is_result(entry)]
    run = crate.add(
        ContextEntity(
            crate,
            "#run",
            {
                "@type": "CreateAction",
                "name": "IP-CIR workflow run",
                "startTime": min(record["started"] for record in live),
                "endTime": max(record["finished"] for record in live),
                "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
            },
        )
    )
    run["instrument"] = main
    run["object"] = list({e["path"]: files.entity(e) for e in sources}.values())
    run["result"] = list({e["path"]: files.entity(e) for e in results}.values())
    crate.root_dataset["mentions"] = [run, *steps]


def validate(directory: Path) -> list[str]:
    """Issues of the crate at the required level of the Workflow Run profile, by roc-validator, without a network.

    The validator brings its profiles but fetches the JSON-LD context; the one that rocrate ships (1.3, which extends
    1.1) is put into its cache instead.
    """
    from rocrate_validator import models, services

    with tempfile.TemporaryDirectory() as cache:
        settings = services.ValidationSettings(
            rocrate_uri=str(directory.absolute()),
            profile_identifier="workflow-run-crate-0.5",
            requirement_severity=models.Severity.REQUIRED,
            offline=True,
            cache_path=_context_cache(Path(cache) / "http"),
        )
        result = services.validate(settings)
        return [f"{issue.check.identifier}: {issue.message}" for issue in result.get_issues()]


def _context_cache(path: Path) -> Path:
    """An HTTP cache, as the validator reads it, that holds the RO-Crate context."""
    from importlib import resources

    import requests
    import requests_cache
    import urllib3

    content = resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes()

    class Shipped(requests.adapters.BaseAdapter):
        def send(self, request, **kwargs):
            response = requests.Response()
            response.status_code, response.url, response.request = 200, request.url, request
            response.headers["Content-Type"] = "application/ld+json"
            response.raw = urllib3.HTTPResponse(io.BytesIO(content), headers=response.headers, preload_content=False)
            return response

        def close(self):
            pass

    with requests_cache.CachedSession(cache_name=str(path), backend="sqlite", expire_after=-1) as session:
        session.mount("https://", Shipped())
        session.get(CONTEXT)
    return path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=OutTree, required=True, help="directory to write the crate into")
    parser.add_argument("--records", type=Directory, help="directory of the records (default: provenance)")
    parser.add_argument("--workflow", type=Directory, default=".", help="directory of the Snakefile (default: here)")
    parser.add_argument("--replace", action="store_true", help="replace a crate that is there")
    parser.add_argument("--validate", action="store_true", help="check it with roc-validator")


def main(args: argparse.Namespace) -> int:
    from ipcir_steps.provenance.audit.library import Library

    if args.replace and (args.output / "ro-crate-metadata.json").is_file():
        shutil.rmtree(args.output)
    root = args.records or provenance.directory()
    if root is None:
        raise InputError("recording is switched off", field="IPCIR_PROVENANCE", remedy="Name the records' directory.")
    counts = build(Library(root), args.output, args.workflow)
    print(f"{args.output}: {counts['steps']} steps, {counts['files']} files, {counts['figures']} figure files")
    issues = validate(args.output) if args.validate else []
    for issue in issues:
        print(issue)
    return 1 if issues else 0
