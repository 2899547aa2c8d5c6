"""Rehearse the published configuration at full size, without its weights, on one photograph and one query.

    python -m dev.rehearsal --photo PHOTO.jpg            # 76 minutes on two busy cores, 20 GB of disk, 22 GB of memory
    python -m dev.rehearsal --photo PHOTO.jpg --next     # the next step only; 1 when there is none

Each step's models are written with random weights, its real command runs in a process of its own, and the models are
deleted when no step that is still to run reads them. What is measured lies below ``state/``; a rehearsal that was
stopped continues. ``python -m dev.rehearsal.table`` makes the table of it.
"""

import argparse
import sys
from pathlib import Path

from dev.rehearsal.claims import every
from dev.rehearsal.stage import prepare, remaining, run


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path("rehearsal"), help="where everything is written")
    parser.add_argument("--photo", type=Path, help="the reference image")
    parser.add_argument("--gallery", type=Path, help="directory of images to rank; eight are taken")
    parser.add_argument("--only", nargs="+", help="names of steps, or their beginnings")
    parser.add_argument("--next", action="store_true", help="one step, the first of these that has not run")
    parser.add_argument("--keep", action="store_true", help="delete no model")
    parser.add_argument("--list", action="store_true", help="print what has not run")
    args = parser.parse_args(argv)
    directory = args.directory.absolute()
    planned = every()
    wanted = [step for step in planned if not args.only or step.name.startswith(tuple(args.only))]
    wanted = remaining(wanted, directory)
    if args.list:
        print("\n".join(step.name for step in wanted))
        return 0
    if args.photo:
        prepare(directory, args.photo, args.gallery)
    for step in wanted[:1] if args.next else wanted:
        run(step, directory, planned, args.keep)
    return 1 if args.next and not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
