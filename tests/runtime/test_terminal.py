"""What a run shows: a line per step; of a failed one its own message, first and in full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNAKEFILE = """
from ipcir_steps.runtime import terminal

if workflow.is_main_process:
    terminal.install()

rule all:
    input: "one.txt", "two.txt"

rule fine:
    output: "{name}.txt"
    shell: "touch {output}"

rule broken:
    output: "broken.txt"
    log: "broken.log"
    shell: "(seq 1000; echo 'ipcir masks: error: a.jsonl: record 7: has no box'; echo 'Draw one.') > {log}; exit 2"

rule silent:
    output: "silent.txt"
    log: "silent.log"
    shell: "touch {log}; exit 3"

ruleorder: broken > silent > fine
"""


@pytest.fixture
def run(tmp_path):
    """Function: runs Snakemake on targets and gives (exit code, what it showed)."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def run(*words):
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    return run


def test_each_finished_step_is_one_line(run):
    code, shown = run()
    lines = [line for line in shown.splitlines() if "/3" in line]
    assert code == 0 and "3 steps" in shown
    assert [line.split()[0] for line in lines] == ["1/3", "2/3", "3/3"]
    assert sorted(line.split(" s  ")[1] for line in lines) == ["all", "fine one", "fine two"]
    assert "jobid" not in shown and "Select jobs" not in shown and "Date:" not in shown
    code, shown = run()
    assert code == 0 and "Nothing to be done" in shown


def test_a_failed_step_says_its_message_first_and_whole_and_once(run):
    code, shown = run("broken.txt")
    message = "ipcir masks: error: a.jsonl: record 7: has no box\nDraw one.\n    in broken; log: broken.log\n"
    assert code != 0 and shown.count(message) == 1
    before = shown.split(message)[0]
    assert "rror" not in before and "999" not in shown and "exit 2" not in shown


@pytest.mark.slow
def test_a_step_that_fails_without_a_word_shows_its_command(run):
    code, shown = run("silent.txt")
    assert code != 0 and "failed without a message: touch silent.log; exit 3" in shown


def test_other_failures_are_told(run, tmp_path):
    code, shown = run("absent.json")
    assert code != 0 and "absent.json" in shown


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--dry-run", "--printshellcmds", "--verbose"])
def test_those_who_ask_for_rules_see_them(run, option):
    code, shown = run(option)
    assert code == 0 and "rule fine:" in shown and "output: one.txt" in shown


@pytest.mark.slow
def test_on_a_terminal_the_running_steps_stand_below(run, tmp_path):
    import pty

    main, other = pty.openpty()
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=other, stderr=other) as process:
        os.close(other)
        shown = b""
        try:
            while part := os.read(main, 4096):
                shown += part
        except OSError:  # the other side is closed
            pass
        assert process.wait() == 0
    os.close(main)
    text = shown.decode()
    assert "… fine" in text and "\r\x1b[K" in text
    assert not text.rstrip("\r\n").endswith("fine one") and "3/3" in text
