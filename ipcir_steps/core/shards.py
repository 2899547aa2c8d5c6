"""Long steps work through shards, contiguous parts of their queries; one process may take several in turn.

However many parts there are and whichever process takes them, the records are the same: each is made of its own
query alone, or of a block of queries that is cut from the whole list, never from a part of it.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ipcir_steps.core import journal
from ipcir_steps.core.arguments import OutFile
from ipcir_steps.core.errors import InputError, StepFailure


def shard(items: Sequence, spec: str, block: int = 1) -> list:
    """The contiguous part ``"i/n"`` (0-based) of ``items``; the parts of all i together are ``items``.

    block: parts begin at multiples of it. Raises InputError when ``spec`` is anything else.

    >>> [shard("abcdefg", f"{i}/3") for i in range(3)]
    [['a', 'b'], ['c', 'd'], ['e', 'f', 'g']]
    >>> [shard("abcdefg", f"{i}/3", block=2) for i in range(3)]
    [['a', 'b'], ['c', 'd'], ['e', 'f', 'g']]
    >>> [shard("abcdefg", f"{i}/2", block=4) for i in range(2)]
    [['a', 'b', 'c', 'd'], ['e', 'f', 'g']]
    """
    found = re.fullmatch(r"(\d+)/(\d+)", spec, re.ASCII)
    if not found or int(found[1]) >= int(found[2]):
        remedy = "Use i/n with i from 0 to n - 1, such as 0/2 and 1/2 for two shards."
        raise InputError(f"{spec!r} is not a shard", field="--shard", remedy=remedy)
    index, count, blocks = int(found[1]), int(found[2]), -(-len(items) // block)
    return list(items[blocks * index // count * block : blocks * (index + 1) // count * block])


def add_shards(parser: argparse.ArgumentParser, items: str, output: str, kind: type[OutFile] = OutFile) -> None:
    """``--shard`` and ``--output`` of a long step. items: what is divided; output: what a file of a kind holds."""
    parser.add_argument(
        "--shard", nargs="+", default=["0/1"], metavar="I/N", help=f"parts of the {items} to work through"
    )
    parser.add_argument("--output", type=kind, nargs="+", required=True, help=f"{output}; one file per shard")


def run_shards(
    items: Sequence,
    work: Callable[[list], Iterable[dict | StepFailure]],
    specs: Sequence[str],
    outputs: Sequence[Path],
    *,
    batch_size: int = 1,
    together: bool = False,
    keep: bool = True,
    **options,
) -> dict:
    """:func:`~ipcir_steps.core.journal.run_journaled` of each shard, one after the other; return the summed counts.

    What another division of the step has left in the same directory is reused. keep: keep the journals of finished
    shards; else they go once the last shard is finished: until then the process may be killed, and its outputs removed.
    Raises InputError when there is not one output per shard.
    """
    if len(specs) != len(outputs):
        raise InputError(f"{len(outputs)} files are named for {len(specs)} shards", field="--output")
    parts = [shard(items, spec, batch_size if together else 1) for spec in specs]
    counts: Counter = Counter(done=0, failed=0, reused=0)
    for part, output in zip(parts, outputs, strict=True):
        how = {"batch_size": batch_size, "together": together, "adopt": True}
        counts.update(journal.run_journaled(part, work, output=output, **how, **options))
    if not keep:
        for output in outputs:
            journal.paths(output)[1].unlink(missing_ok=True)
    return dict(counts)
