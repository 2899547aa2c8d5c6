"""A queue for the one device: imaginations wait for each other, tell what they do, and can be stopped."""

import collections
import contextlib
import dataclasses
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import anyio

from ipcir_steps.core.errors import InputError, IPCIRError
from ipcir_steps.photos.imagine import Cancelled

log = logging.getLogger("photos")
POLL = 0.03  # seconds between two looks at a job
WAITING = 20  # jobs that may wait
KEPT = 64  # finished jobs whose events can still be read


@dataclasses.dataclass
class Job:
    """events: what it has told so far; the last one has the stage "done", "failed" or "cancelled"."""

    key: str
    work: Callable[[Callable[[], bool]], Iterator[dict]]
    events: list[dict] = dataclasses.field(default_factory=list)
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    finished: bool = False

    def tell(self, event: dict, last: bool = False) -> None:
        self.events.append(event)
        self.finished = last


async def follow(job: Job) -> AsyncIterator[dict]:
    """Every event of a job, those told before first, until the last one."""
    told = 0
    while True:
        finished = job.finished
        while told < len(job.events):  # it grows while this one waits for who reads
            told += 1
            yield job.events[told - 1]
        if finished:
            return
        await anyio.sleep(POLL)


class Jobs:
    """One worker thread. A job that is asked for again while it waits or works is the same job."""

    def __init__(self):
        self.jobs: collections.OrderedDict[str, Job] = collections.OrderedDict()
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="imagining", daemon=True)
        self._thread.start()

    def add(self, key: str, work: Callable) -> Job:
        """Raises InputError when too many wait."""
        with self._lock:
            job = self.jobs.get(key)
            if job is not None and not job.finished and not job.stop.is_set():
                return job
            ahead = sum(not other.finished for other in self.jobs.values())
            if ahead > WAITING:
                raise InputError(f"{ahead} requests are already waiting", remedy="Try again later.")
            job = self.jobs[key] = Job(key, work)
            self.jobs.move_to_end(key)
            while len(self.jobs) > KEPT and next(iter(self.jobs.values())).finished:
                self.jobs.popitem(last=False)
            job.tell({"stage": "queued", "ahead": ahead})
            self._waiting.put(job)
            return job

    def cancel(self, key: str) -> bool:
        """Whether there was something to stop; it stops before its next piece of work."""
        with self._lock:
            job = self.jobs.get(key)
        if job is None or job.finished:
            return False
        job.stop.set()
        return True

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            try:
                if job.stop.is_set():
                    raise Cancelled
                for event in job.work(job.stop.is_set):
                    job.tell(event, last=event["stage"] == "done")
            except Cancelled:
                job.tell({"stage": "cancelled"}, last=True)
            except IPCIRError as error:
                job.tell({"stage": "failed", "error": str(error)}, last=True)
            except Exception as error:  # the server goes on; the terminal has the traceback
                log.exception("imagining failed")
                job.tell({"stage": "failed", "error": f"{type(error).__name__}; the terminal says more"}, last=True)

    def close(self) -> None:
        for job in list(self.jobs.values()):
            job.stop.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put(None)
        self._thread.join(timeout=2)
