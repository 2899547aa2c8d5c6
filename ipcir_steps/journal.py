"""Long steps append one checksummed line per finished record, and continue there after a kill."""

import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ipcir_steps.errors import InputError, StepFailure
from ipcir_steps.files import digest, dumps, write_jsonl
from ipcir_steps.progress import Progress


class Journal:
    """Records of an unfinished output, kept in ``{output}.part``.

    Each line is ``crc32 json``. On opening, lines up to the first damaged one are taken over and the
    rest is cut off. ``context`` (settings, model digests, …) is the first line: records that were
    made with another context are not reused.
    """

    def __init__(self, output: str | Path, key: str, context: dict | None = None):
        self.output, self.key = Path(output), key
        self.path = self.output.with_name(self.output.name + ".part")
        self.context = digest(context or {})
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.records: dict[str, dict] = {}
        size = self._recover()
        self._file = open(self.path, "r+b" if size else "wb")  # noqa: SIM115 (open as long as the step runs)
        self._file.truncate(size)
        self._file.seek(size)
        if not size:
            self._write({"context": self.context})

    def _recover(self) -> int:
        """Take over the intact lines; return how many bytes they are."""
        if not self.path.exists():
            return 0
        size = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file):
                record = _decode(line)
                if record is None or (number == 0 and record != {"context": self.context}):
                    break
                if number:
                    self.records[record[self.key]] = record
                size += len(line)
        return size

    def _write(self, record: dict) -> None:
        text = dumps(record).encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self._file.flush()

    def append(self, record: dict) -> None:
        self._write(record)
        self.records[record[self.key]] = record

    def finish(self, keys: Iterable[str]) -> None:
        """Write the output in the order of ``keys`` and remove the journal."""
        os.fsync(self._file.fileno())
        write_jsonl(self.output, (self.records[key] for key in keys))
        self.close()
        self.path.unlink()

    def close(self) -> None:
        self._file.close()


def _decode(line: bytes) -> dict | None:
    checksum, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    return json.loads(text)


def run_journaled(
    items: Sequence,
    work: Callable[[list], Iterable[dict | StepFailure]],
    *,
    output: str | Path,
    key: str,
    key_of: Callable[[object], str],
    context: dict,
    title: str,
    batch_size: int = 1,
    reusable: Callable[[dict], bool] = lambda record: True,
    note: Callable[[], dict] = dict,
) -> dict:
    """Process ``items`` in batches, one durable record each; return ``{"done": …, "failed": …, "reused": …}``.

    ``work(batch)`` returns, in the order of the batch, a record (without the key) or a StepFailure, which
    is recorded as ``{key: …, "failure": reason}``. Any other exception stops the step; what is done stays.
    ``reusable(record)`` says whether a journaled record still holds, for steps with files beside their output.
    ``note()`` gives figures to show at the end of the progress bar.
    """
    journal = Journal(output, key, context)
    journal.records = {k: record for k, record in journal.records.items() if reusable(record)}
    keys = [key_of(item) for item in items]
    waiting = [item for item in items if key_of(item) not in journal.records]
    reused = len(items) - len(waiting)
    failed = sum("failure" in journal.records[k] for k in keys if k in journal.records)
    try:
        with Progress(title, total=len(items), done=reused, failed=failed) as progress:
            for batch in batches(waiting, batch_size):
                for item, result in zip(batch, work(batch), strict=True):
                    failure = isinstance(result, StepFailure)
                    journal.append({key: key_of(item), **({"failure": str(result)} if failure else result)})
                    progress.advance(failed=failure, **note())
            failed = progress.failed
        journal.finish(keys)
    finally:
        journal.close()
    return {"done": len(items) - failed, "failed": failed, "reused": reused}


def batches(items: Sequence, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def shard(items: Sequence, spec: str) -> list:
    """The contiguous part ``"i/n"`` (0-based) of ``items``; the parts of all i together are ``items``.

    Raises InputError when ``spec`` is anything else.

    >>> [shard("abcdefg", f"{i}/3") for i in range(3)]
    [['a', 'b'], ['c', 'd'], ['e', 'f', 'g']]
    """
    found = re.fullmatch(r"(\d+)/(\d+)", spec, re.ASCII)
    if not found or int(found[1]) >= int(found[2]):
        remedy = "Use i/n with i from 0 to n - 1, such as 0/2 and 1/2 for two shards."
        raise InputError(f"{spec!r} is not a shard", field="--shard", remedy=remedy)
    index, count = int(found[1]), int(found[2])
    return list(items[len(items) * index // count : len(items) * (index + 1) // count])
