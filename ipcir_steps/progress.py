"""Progress bars that show records done, failures, rate and time left; silent when not a terminal."""

import sys


class Progress:
    """A tqdm bar on a terminal; nothing elsewhere (cluster logs stay readable).

    ``note`` shows extra figures at the end of the bar, such as tokens per second.
    """

    def __init__(self, title: str, total: int, done: int = 0, failed: int = 0):
        self.title, self.total, self.done, self.failed = title, total, done, failed
        self._bar = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, initial=self.done, desc=self.title, dynamic_ncols=True, leave=True)
        return self

    def advance(self, count: int = 1, failed: bool = False, **note) -> None:
        self.done += count
        self.failed += failed
        if self._bar is not None:
            shown = {**({"failed": self.failed} if self.failed else {}), **note}
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(count)

    def __exit__(self, *exc) -> None:
        if self._bar is not None:
            self._bar.close()
