"""The table of a rehearsal: what was measured beside what the plan says today.

    python -m dev.rehearsal.table --directory rehearsal           # print what was measured there
    python -m dev.rehearsal.table --directory rehearsal --write   # and put it into the documentation
    python -m dev.rehearsal.table --write                         # the documentation anew, after a change of the plan

The documented figures lie in ``dev/rehearsal/measured.json``, the table in ``docs/rehearsal.md`` between two comments.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import sys
from pathlib import Path

from dev.rehearsal import measure
from dev.rehearsal.claims import claims, every
from dev.rehearsal.stage import ROOT, environment, state_of

MEASURED = Path(__file__).with_name("measured.json")
DOCUMENT = ROOT / "docs/rehearsal.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
KEPT = ("step", "rule", "seconds", "cpu", "resident", "anonymous", "operations", "tokens", "output", "models")
LEAST, MOST = 1, 2  # what a rule asks for, over what its job held at its peak
AGREE = 0.05  # how far counted operations may be from measured ones


def collect(directory: Path) -> dict:
    """{date, machine, engine, steps} of the steps that have run."""
    notes = []
    for step in every():
        if not state_of(step, directory).is_file():
            print(f"{step.name}: has not run", file=sys.stderr)
            continue
        note = json.loads(state_of(step, directory).read_text())
        plan = note["plan"]
        notes.append({key: note[key] for key in KEPT} | {"met": plan["met"], "weights": plan["weights"]})
    today = datetime.date.today().isoformat()
    return {"date": today, "machine": machine(), "engine": engine(directory), "steps": notes}


def machine() -> str:
    """Processor, cores, memory, torch, in one line."""
    import torch

    told = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")), "")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024 / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores ({model or platform.machine()}), {memory:.0f} GiB of memory, torch {torch.__version__}"


def engine(directory: Path) -> int:
    """Bytes that Snakemake itself holds: under a scheduler it starts the step inside the job."""
    here = directory / "engine"
    here.mkdir(exist_ok=True)
    shutil.copy(ROOT / "config.yaml", here)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "--dry-run",
               "results/mini_cirr/val/queries.jsonl"]  # fmt: skip
    return measure.run(command, here / "log", here, environment()).resident


def table(measured: dict) -> str:
    """Markdown. What a rule asks for is marked where it is not between the peak and twice the peak, operations where
    they differ by more than 5 %."""
    lines = [
        f"{measured['date']}, {measured['machine']}. Peaks hold Snakemake's own {measured['engine'] / 1e6:.0f} MB.",
        "",
        "| step | time | processor | peak | `mem_mb` | times the peak | TFLOP | counted before | output |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    found = claims(measured)
    for note in measured["steps"]:
        lines.append("| " + " | ".join(row(note, found[note["step"]], measured["engine"])) + " |")
    return "\n".join(lines)


def row(note: dict, claim: dict, engine: int) -> list[str]:
    peak = note["resident"] + engine
    return [
        note["step"],
        f"{note['seconds']:.0f} s",
        f"{note['cpu']:.0f} s",
        f"{peak / 1e9:.2f} GB",
        f"{claim['mem_mb']:,}",
        ratio(claim["mem_mb"] * 1e6 / peak, LEAST, MOST),
        f"{note['operations'] / 1e12:.3g}" if note["operations"] else "",
        ratio(claim["operations"] / note["operations"], 1 - AGREE, 1 + AGREE) if claim["operations"] else "",
        note["output"],
    ]


def ratio(value: float, least: float, most: float) -> str:
    """
    >>> ratio(1.254, 1, 2), ratio(2.5, 1, 2)
    ('1.25', '**2.50**')
    """
    return f"{value:.2f}" if least <= value <= most else f"**{value:.2f}**"


def within(text: str, part: str) -> str:
    """A document with the part between its two comments replaced. Raises ValueError where they are missing."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{part}\n{END}{after}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="of a rehearsal that ran to its end (default: the documented)")
    parser.add_argument("--write", action="store_true", help="into the documentation")
    args = parser.parse_args(argv)
    measured = collect(args.directory.absolute()) if args.directory else json.loads(MEASURED.read_text())
    text = table(measured)
    print(text)
    if args.write:
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
        DOCUMENT.write_text(within(DOCUMENT.read_text(), text))


if __name__ == "__main__":
    main()
