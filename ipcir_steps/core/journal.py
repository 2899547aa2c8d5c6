"""Long steps append one checksummed line per finished record, and continue there after a kill.

The lines of a finished output stay beside it, hidden: when the output is lost or damaged, or a few of its inputs
change, only what is not there any more is done again. So do those of other parts of the same step: when the step is
divided otherwise, each part reuses what it finds there.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from ipcir_steps.core.errors import StepFailure
from ipcir_steps.core.files import digest, dumps, open_part, unwritable, write_jsonl
from ipcir_steps.core.progress import Progress


class Journal:
    """Records of an unfinished output in ``{output}.part``; of a finished one in ``.{output}.journal``.

    Each line is ``crc32 json``: first the digest of ``context`` (settings, model digests, …), then one pair
    ``[digest of what the record was made from, record]`` per record. On opening, lines up to the first damaged one
    are reused and the rest is cut off; records of another context are not. Of a finished output's journal, recorded
    failures are not reused: they are tried again.
    """

    def __init__(self, output: str | Path, key: str, context: dict | None = None):
        self.output, self.key = Path(output), key
        self.path, self.kept = paths(output)
        self.records: dict[str, dict] = {}
        self.content: dict[str, str | None] = {}
        self._first = {"context": digest(context or {})}
        self._file = open_part(self.path)
        size = self._take_over(self._file)
        self._file.truncate(size)
        self._file.seek(size)
        if size:
            return
        self._write(self._first)
        if self.kept.exists():
            with open(self.kept, "rb") as kept:
                self._take_over(kept)
            self.records = {key: record for key, record in self.records.items() if "failure" not in record}
            for key, record in self.records.items():
                self._write([self.content[key], record])

    def adopt(self, contents: Mapping[str, str]) -> None:
        """Take over records of the journals beside this one, which other parts of the same step have left.

        contents: digest, by key, of what each wanted record is made from; others, and failures, stay where they are.
        """
        for path in self._others():
            if contents.items() <= self.content.items():
                return
            for content, record in _records(path, self._first):
                name = record.get(self.key)
                wanted = name in contents and contents[name] == content != self.content.get(name)
                if wanted and "failure" not in record:
                    self.append(record, content)

    def _others(self) -> list[Path]:
        """Journals of outputs of the same kind in the same directory."""
        suffix, own = self.output.suffix, (self.path, self.kept)
        found = [*self.output.parent.glob(f".*{suffix}.journal"), *self.output.parent.glob(f"*{suffix}.part")]
        return sorted(path for path in found if path not in own)

    def _take_over(self, file: BinaryIO) -> int:
        """Read the intact records; return how many bytes they take, 0 when they are of another context."""
        size = 0
        for line, end in _lines(file, self._first):
            if isinstance(line, list):
                content, record = line
                self.records[record[self.key]], self.content[record[self.key]] = record, content
            size = end
        return size

    def _write(self, line) -> None:
        text = dumps(line).encode()
        try:
            self._file.write(b"%08x %s\n" % (zlib.crc32(text), text))
            self._file.flush()
        except OSError as error:
            raise unwritable(self.path, error) from error

    def append(self, record: dict, content: str | None = None) -> None:
        self._write([content, record])
        self.records[record[self.key]], self.content[record[self.key]] = record, content

    def finish(self, keys: Iterable[str], counts: dict | None = None, keep: bool = True) -> None:
        """Write the output in the order of ``keys``; keep the journal for later, or remove it.

        counts: what this run did, {"done", "failed", "reused"}; for estimates of later runs.
        """
        self._write(counts or {})
        os.fsync(self._file.fileno())
        write_jsonl(self.output, (self.records[key] for key in keys))
        self.path.replace(self.kept)
        if not keep:
            self.kept.unlink()
        self.close()

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:  # what is still buffered does not fit on the disk
            raise unwritable(self.path, error) from error


def paths(output: str | Path) -> tuple[Path, Path]:
    """The journal of an unfinished and of a finished ``output``."""
    output = Path(output)
    return output.with_name(output.name + ".part"), output.with_name(f".{output.name}.journal")


def _records(path: Path, first: dict) -> Iterator[tuple[str | None, dict]]:
    """(content, record) of a journal that begins with ``first``; none of one that was finished, and renamed,
    meanwhile."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        yield from ((line[0], line[1]) for line, _ in _lines(file, first) if isinstance(line, list))


def _lines(file: BinaryIO, first: dict) -> Iterator[tuple[dict | list, int]]:
    """``read_lines`` of a journal that begins with ``first``; nothing of one of another context."""
    for number, (line, end) in enumerate(read_lines(file)):
        if number == 0 and line != first:
            return
        yield line, end


def read_lines(file: BinaryIO) -> Iterator[tuple[dict | list, int]]:
    """(value, offset of its end) of each line up to the first damaged one."""
    end = 0
    for line in file:
        checksum, _, text = line.partition(b" ")
        if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
            return
        end += len(line)
        yield json.loads(text), end


def run_journaled(
    items: Sequence,
    work: Callable[[list], Iterable[dict | StepFailure]],
    *,
    output: str | Path,
    key: str,
    key_of: Callable[[object], str],
    context: dict,
    title: str,
    content_of: Callable[[object], object] = lambda item: None,
    batch_size: int = 1,
    together: bool = False,
    reusable: Callable[[dict], bool] = lambda record: True,
    note: Callable[[], dict] = dict,
    keep: bool = True,
    adopt: bool = False,
) -> dict:
    """Process ``items`` in batches, one durable record each; return ``{"done": …, "failed": …, "reused": …}``.

    ``work(batch)`` returns, in the order of the batch, a record (without the key) or a StepFailure, which
    is recorded as ``{key: …, "failure": reason}``. Any other exception stops the step; what is done stays.
    ``content_of(item)`` is what its record depends on beside the context (a JSON value): when it changes, the record is
    made again.
    ``together``: a record may depend, if only in its last bits, on the others of its batch. Batches are then cut from
    ``items``, not from what is left to do, and are worked through whole: a resumed run gives the same bytes.
    ``reusable(record)`` says whether a journaled record still holds, for steps with files beside their output.
    ``note()`` gives figures to show at the end of the progress bar. ``keep``: see :meth:`Journal.finish`;
    ``adopt``: the output is a part of a step, see :meth:`Journal.adopt`.
    """
    journal = Journal(output, key, context)
    keys = [key_of(item) for item in items]
    contents = _contents(items, keys, content_of, batch_size if together else 1)
    if adopt:
        journal.adopt(contents)
    journal.records = {
        k: record for k, record in journal.records.items() if contents.get(k) == journal.content[k] and reusable(record)
    }
    finished = {k for k in keys if k in journal.records}
    waiting = [item for item, k in zip(items, keys, strict=True) if k not in finished]
    reused = len(items) - len(waiting)
    failed = sum("failure" in journal.records[k] for k in finished)
    try:
        with Progress(title, total=len(items), done=reused, failed=failed) as progress:
            for batch in batches(items if together else waiting, batch_size):
                if finished.issuperset(map(key_of, batch)):
                    continue
                for item, result in zip(batch, work(batch), strict=True):
                    if key_of(item) in finished:
                        continue
                    failure = isinstance(result, StepFailure)
                    record = {key: key_of(item), **({"failure": str(result)} if failure else result)}
                    journal.append(record, contents[record[key]])
                    progress.advance(failed=failure, **note())
            failed = progress.failed
        counts = {"done": len(items) - failed, "failed": failed, "reused": reused}
        journal.finish(keys, counts, keep)
    finally:
        journal.close()
    return counts


def _contents(items: Sequence, keys: Sequence[str], content_of: Callable, size: int) -> dict[str, str]:
    """Digest, by key, of what each record is made from; of what its whole batch is made from when size is above 1."""
    if size == 1:
        return {key: digest(content_of(item)) for key, item in zip(keys, items, strict=True)}
    contents = {}
    for batch, names in zip(batches(items, size), batches(keys, size), strict=True):
        shared = [content_of(item) for item in batch]
        contents |= {name: digest([name, shared]) for name in names}
    return contents


def batches(items: Sequence, size: int) -> Iterator[list]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
