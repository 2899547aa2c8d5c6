"""Progress: records done, failures, rate and time left. A bar on a terminal, a line each minute in a log."""

import sys
import time

EVERY = 60  # seconds between two lines of a log


class Progress:
    """A tqdm bar on a terminal; elsewhere, as in the logs of a workflow, a line to stderr each minute.

    ``note`` shows extra figures at the end, such as tokens per second.
    """

    def __init__(self, title: str, total: int, done: int = 0, failed: int = 0):
        self.title, self.total, self.done, self.failed = title, total, done, failed
        self._bar = None
        self._first = done
        self._started = self._told = time.monotonic()

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, initial=self.done, desc=self.title, dynamic_ncols=True, leave=True)
        return self

    def advance(self, count: int = 1, failed: bool = False, **note) -> None:
        self.done += count
        self.failed += failed
        shown = {**({"failed": self.failed} if self.failed else {}), **note}
        if self._bar is not None:
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            print(self._line(shown), file=sys.stderr, flush=True)

    def _line(self, shown: dict) -> str:
        spent = self._told - self._started
        left = spent / max(1, self.done - self._first) * (self.total - self.done)
        figures = "".join(f", {name} {value}" for name, value in shown.items())
        return f"{self.title}: {self.done} of {self.total}, about {left / 60:.0f} min left{figures}"

    def __exit__(self, *exc) -> None:
        if self._bar is not None:
            self._bar.close()
