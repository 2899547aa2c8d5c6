"""What a run shows in the terminal: a line per finished step; of a failed one, first and in full, its own message.

Dry runs and ``--verbose``, ``--printshellcmds``, ``--quiet``, ``--logger`` show what Snakemake shows by itself, and so
does the log that every run leaves below ``.snakemake/log``.
"""

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

from snakemake.logging import ColorizingTextHandler, DefaultFilter, logger
from snakemake_interface_logger_plugins.common import LogEvent

# Beginnings of what Snakemake says in every run.
USUAL = (
    "Building DAG", "Conda environments:", "Execute ", "Exiting because a job", "Group jobs:", "Provided ",
    "Rules claiming", "Select jobs", "Singularity containers:", "Using shell",
)  # fmt: skip
COMMAND_FAILED = "CalledProcessError"  # Snakemake repeats the command; the step has said what is wrong
SOME_FAILED = "At least one job did not complete"
OWN = re.compile(r"^ipcir [a-z]+: error: ", re.MULTILINE)  # how a step begins its message
RED, GREEN, PLAIN = "\033[31m", "\033[32m", "\033[0m"
WIDE = 78  # characters of the line of running steps


def install() -> None:
    """Show steps in place of rules, unless the user asked for something else."""
    for handler in list(logger.handlers):
        told = next((f for f in handler.filters if isinstance(f, DefaultFilter)), None)
        if not isinstance(handler, ColorizingTextHandler) or told is None:
            continue
        if not (told.quiet or told.verbose or told.dryrun or told.printshellcmds or told.debug_dag):
            logger.removeHandler(handler)
            logger.addHandler(Steps(handler.stream, coloured=not handler.nocolor))


class Steps(logging.StreamHandler):
    """A line per finished step and, on a terminal, below them which steps run."""

    def __init__(self, stream, coloured: bool = True):
        super().__init__(stream)
        self.live = stream.isatty()
        self.coloured = coloured and self.live
        self.jobs: dict[int, tuple[str, float]] = {}  # those that run: their name, and when they started
        self.total = self.done = 0
        self.shown = False  # whether the line of running steps is on the screen
        self.handlers: dict[LogEvent | None, Callable[[logging.LogRecord], str]] = {
            None: self.message,
            LogEvent.RUN_INFO: self.run_info,
            LogEvent.JOB_INFO: self.job_info,
            LogEvent.JOB_FINISHED: self.job_finished,
            LogEvent.JOB_ERROR: self.job_error,
            LogEvent.GROUP_ERROR: self.group_error,
            LogEvent.ERROR: self.error,
        }

    def emit(self, record: logging.LogRecord) -> None:
        try:
            handler = self.handlers.get(getattr(record, "event", None))
            if handler:
                self.write(handler(record))
        except BrokenPipeError:
            raise
        except Exception:
            self.handleError(record)

    def message(self, record: logging.LogRecord) -> str:
        text = str(record.msg or "").strip("\n")
        return "" if text.startswith(USUAL) else text

    def run_info(self, record: logging.LogRecord) -> str:
        self.total = record.stats["total"]
        return f"{self.total} steps"

    def job_info(self, record: logging.LogRecord) -> str:
        values = map(str, dict(record.wildcards or {}).values())
        self.jobs[record.jobid] = " ".join([record.rule_name, *values]), time.monotonic()
        return ""

    def job_finished(self, record: logging.LogRecord) -> str:
        name, started = self.jobs.pop(record.job_id, ("", time.monotonic()))
        self.done += 1
        count = f"{self.done:{len(str(self.total))}}/{self.total}"
        return f"{self.paint(count, GREEN)} {time.monotonic() - started:4.0f} s  {name}"

    def job_error(self, record: logging.LogRecord) -> str:
        name, _ = self.jobs.pop(record.jobid, (record.rule_name, 0))
        return self.failed(name, record.log, record.shellcmd)

    def group_error(self, record: logging.LogRecord) -> str:
        parts = record.job_error_info
        logs = [path for part in parts for path in part["log"]]
        return self.failed(", ".join(part["rule_name"] for part in parts), [*logs, *record.aux_logs])

    def failed(self, name: str, logs: list[str], command: str | None = None) -> str:
        """What the step said, as it said it, then which it is; its command where it said nothing."""
        said = "\n".join(filter(None, map(said_in, logs))) or f"failed without a message: {command or name}"
        return self.paint(f"{said}\n    in {name}; log: {', '.join(map(str, logs)) or 'none'}", RED)

    def error(self, record: logging.LogRecord) -> str:
        text = str(record.msg or "").strip("\n")
        if COMMAND_FAILED in text:
            return ""
        return "Some steps failed; see above. The same command goes on from here." if SOME_FAILED in text else text

    def paint(self, text: str, colour: str) -> str:
        return f"{colour}{text}{PLAIN}" if self.coloured else text

    def write(self, text: str) -> None:
        """Print a text above the line of running steps."""
        erase = "\r\033[K" if self.shown else ""
        running = "… " + ", ".join(name for name, _ in self.jobs.values()) if self.live and self.jobs else ""
        self.shown = bool(running)
        self.stream.write(erase + (f"{text}\n" if text else "") + running[:WIDE])
        self.flush()


def said_in(log: str) -> str:
    """The messages of ``ipcir`` in a log, from the first on; all that the log has where there is none."""
    try:
        text = Path(log).read_text(encoding="utf-8", errors="replace").strip("\n")
    except OSError:
        return ""
    own = OWN.search(text)
    return text[own.start() :] if own else text
