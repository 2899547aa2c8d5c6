"""The journal: what is done is done once, after a kill, a full disk or a bug, and never with other settings."""

import signal
import subprocess
import sys
import time

import pytest

from ipcir_steps.core import files, journal
from ipcir_steps.core.errors import StepFailure


def run(output, items, work, **more):
    return journal.run_journaled(
        items, work, output=output, key="id", key_of=str, context={"a": 1}, title="test", **more
    )  # fmt: skip


def test_a_cut_line_is_done_again(tmp_path):
    output = tmp_path / "x.jsonl"
    book = journal.Journal(output, "id", {"a": 1})
    book.append({"id": "0", "value": 0}, files.digest(None))
    book.append({"id": "1", "value": 1}, files.digest(None))
    book.close()
    part = tmp_path / "x.jsonl.part"
    part.write_bytes(part.read_bytes()[:-4])
    asked = []

    def work(batch):
        asked.extend(batch)
        return [{"value": item} for item in batch]

    assert run(output, [0, 1, 2], work) == {"done": 3, "failed": 0, "reused": 1}
    assert asked == [1, 2] and not part.exists()
    assert [record["id"] for record in files.read_jsonl(output)] == ["0", "1", "2"]


def test_records_of_other_settings_are_not_reused(tmp_path):
    book = journal.Journal(tmp_path / "x.jsonl", "id", {"a": 2})
    book.append({"id": "0", "value": "stale"}, files.digest(None))
    book.close()
    assert run(tmp_path / "x.jsonl", [0], lambda batch: [{"value": 1}])["reused"] == 0


def test_failures_are_recorded_and_errors_keep_what_is_done(tmp_path):
    def work(batch):
        if batch == [2]:
            raise RuntimeError("bug")
        return [StepFailure("no layout") if item == 1 else {"value": item} for item in batch]

    with pytest.raises(RuntimeError):
        run(tmp_path / "x.jsonl", [0, 1, 2], work)
    assert not (tmp_path / "x.jsonl").exists()
    assert run(tmp_path / "x.jsonl", [0, 1, 2], lambda b: [{"value": 9}]) == {"done": 2, "failed": 1, "reused": 2}
    assert files.read_jsonl(tmp_path / "x.jsonl")[1] == {"id": "1", "failure": "no layout"}


def test_a_finished_output_is_made_again_without_work(tmp_path):
    output = tmp_path / "x.jsonl"
    run(output, [0, 1, 2, 3], lambda b: [StepFailure("no") if i == 3 else {"value": i} for i in b])
    before = output.read_bytes()
    output.write_text("damaged")
    asked = []

    def work(batch):
        asked.extend(batch)
        return [{"value": item} for item in batch]

    counts = run(output, [0, 1, 2, 3], work, content_of=lambda i: None)
    assert asked == [3] and counts == {"done": 4, "failed": 0, "reused": 3}  # a failure is tried again
    assert output.read_bytes().splitlines()[:3] == before.splitlines()[:3]
    run(output, [0, 1, 2, 3], work, content_of=lambda item: "changed" if item == 1 else None)
    assert asked == [3, 1]


def test_two_processes_never_write_the_same_journal(tmp_path):
    """A step that outlives its killed workflow, and the one that the resumed workflow starts."""
    output = tmp_path / "x.jsonl"
    processes = [subprocess.Popen([sys.executable, "-c", SLOW, output], stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert [record["value"] for record in files.read_jsonl(output)] == [7 * item for item in range(40)]
    with open(journal.paths(output)[1], "rb") as file:
        lines = [line for line, _ in journal.read_lines(file)]
    assert [line["reused"] for line in lines if isinstance(line, dict) and "reused" in line] == [40]


@pytest.mark.parametrize("limit", [150, 700])
def test_a_journal_on_a_full_disk_says_so_and_goes_on(tmp_path, limit):
    """The file size limit stands for the disk: the write fails the same way."""
    output = tmp_path / "x.jsonl"
    code = f"""
import resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
from ipcir_steps.core.errors import IPCIRError
try:
    exec({SLOW!r})
except IPCIRError as error:
    raise SystemExit(str(error))
"""
    done = subprocess.run([sys.executable, "-c", code, output], capture_output=True, text=True)
    assert done.returncode == 1 and not output.exists()
    assert "x.jsonl.part: could not be written (File too large). Free disk space" in done.stderr
    subprocess.run([sys.executable, "-c", SLOW, output], check=True)
    assert len(files.read_jsonl(output)) == 40


SLOW = """
import sys, time
from ipcir_steps.core.journal import run_journaled
def work(batch):
    time.sleep(0.02)
    return [{"value": item * 7} for item in batch]
run_journaled(range(40), work, output=sys.argv[1], key="id", key_of=str, context={}, title="t")
"""


def test_kill_at_any_moment_and_resume(tmp_path):
    expected, output = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    subprocess.run([sys.executable, "-c", SLOW, expected], check=True)
    for delay in (0.2, 0.3, 0.4):
        process = subprocess.Popen([sys.executable, "-c", SLOW, output])
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, "-c", SLOW, output], check=True)
    assert output.read_bytes() == expected.read_bytes()
