"""What recording costs: time spent on records and digests against the time of the steps, from the records themselves.

python dev/benchmarks/provenance.py [DIRECTORY]     # a finished tree, by default the working directory
python dev/benchmarks/provenance.py --hashing 2000  # seconds per GB for fresh files, and for files hashed before
"""

import argparse
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from ipcir_steps.provenance.audit.library import Library
from ipcir_steps.provenance.digests import Digests


def recorded(root: Path) -> None:
    """Print time and recording time per rule and in all."""
    rules = defaultdict(lambda: [0, 0.0, 0.0])
    for record in Library(root).records:
        row = rules[record["rule"] or record["step"]]
        row[0], row[1], row[2] = row[0] + 1, row[1] + record["seconds"], row[2] + record["recording_seconds"]
    total = [sum(column) for column in zip(*rules.values(), strict=True)]
    print(f"{'rule':26} {'steps':>6} {'seconds':>9} {'recording':>9} {'share':>7}")
    for name, (steps, seconds, spent) in [*sorted(rules.items(), key=lambda item: -item[1][1]), ("all", total)]:
        print(f"{name:26} {steps:6d} {seconds:9.2f} {spent:9.3f} {100 * spent / max(seconds, 1e-9):6.2f}%")


def hashing(megabytes: int) -> None:
    """Print how long a file of that size takes at first sight and when its size, time and inode are known."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "weights.bin")
        with open(path, "wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(1 << 20))
        time.sleep(0.05)
        for name in ("first", "known"):
            started = time.perf_counter()
            digests = Digests(Path(directory, "memory"))
            digests.file(path)
            digests.save()
            print(f"{name}: {time.perf_counter() - started:.4f} s for {megabytes} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", nargs="?", type=Path, default=Path())
    parser.add_argument("--hashing", type=int, metavar="MIB")
    given = parser.parse_args()
    hashing(given.hashing) if given.hashing else recorded(given.directory / "provenance")
