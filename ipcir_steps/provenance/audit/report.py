"""What an audit found, as values and as text."""

import dataclasses

from ipcir_steps.provenance.audit.chain import Chain
from ipcir_steps.provenance.audit.library import EARLIER
from ipcir_steps.provenance.environment import code_digest


def result(target: str | None, chain: Chain, notes: list[str]) -> dict:
    problems = list(chain.problems.values())
    broken = [problem for problem in problems if problem.kind != "stale"]
    used = [link.record for link in chain.links if link.record]
    records = {record["file"]: record for record in used or chain.library.records}
    others = sum(record["code"]["digest"] != code_digest(record["step"]) for record in records.values())
    if others:
        notes = [*notes, f"{others} of {len(records)} steps were run with other code than is installed now"]
    if earlier := sum(EARLIER in record for record in records.values()):
        notes = [
            *notes,
            f"{earlier} of {len(records)} records are of an earlier version: their files are verified, but they do not"
            " tell what they took from the configuration; run the workflow again to compare it",
        ]
    return {
        "target": target,
        "status": "broken" if broken else "stale" if problems else "verified",
        "problems": [dataclasses.asdict(problem) for problem in [*broken, *(p for p in problems if p not in broken)]],
        "records": len(records),
        "files_hashed": len(chain.hashed),
        "code": sorted({_code(record["code"]) for record in records.values()}),
        "models": _models(records.values()),
        "notes": notes,
        "links": [_link(link) for link in chain.links],
    }


def _code(code: dict) -> str:
    commit = (code["revision"] or "no revision")[:12]
    return f"ipcir {code['version']}, {commit}{', with changes' if code['dirty'] else ''}"


def _models(records) -> list[dict]:
    found = {(m["name"], m["digest"]): m for record in records for m in record["models"]}
    return [found[key] for key in sorted(found)]


def _link(link) -> dict:
    record = link.record
    made = {"rule": None}
    if record:
        made = {"rule": record["rule"] or record["step"], "record": record["id"], "finished": record["finished"]}
    return {
        "path": link.path,
        "depth": link.depth,
        "sha256": link.sha256,
        "files": link.files,
        "status": link.problems[0].kind if link.problems else "verified",
        **made,
    }


def text(result: dict) -> str:
    """The chain as an indented list, then the verdict."""
    lines = [f"note: {note}" for note in result["notes"]]
    wide = max((2 * link["depth"] + len(link["path"]) for link in result["links"]), default=0)
    wide = min(wide, 96)
    for link in result["links"]:
        name = "  " * link["depth"] + link["path"]
        count = f" ({link['files']} files)" if link["files"] > 1 else ""
        state = "" if link["status"] == "verified" else f"  <- {link['status']}"
        lines.append(f"{name.ljust(wide)}  {link['rule'] or 'source'}{count}{state}")
    for model in result["models"] if result["links"] else ():
        revision = f"@{model['revision']}" if model["revision"] else ""
        lines.append(f"model {model['name']}: {model['source']}{revision}, sha256 {model['digest'][:12]}…")
    lines += [f"code: {code}" for code in result["code"]] if result["links"] else []
    counts = f"{result['records']} records, {result['files_hashed']} files hashed"
    lines.append(f"{result['target'] or 'everything'}: {result['status']} ({counts}, {result.get('seconds', 0)} s)")
    if result["problems"]:
        lines.append(f"first broken link: {result['problems'][0]['text']}")
        lines += [f"also: {problem['text']}" for problem in result["problems"][1:20]]
        more = len(result["problems"]) - 20
        lines += [f"and {more} more"] if more > 0 else []
    return "\n".join(lines)
