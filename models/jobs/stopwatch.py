"""The time that a job has searched."""

import time


class Stopwatch:
    """Seconds since it was started, added to those that were spent before."""

    def __init__(self, spent: float) -> None:
        self._spent = spent
        self._begin: float | None = None

    def start(self) -> None:
        """Run from now on, unless it runs."""
        if self._begin is None:
            self._begin = time.monotonic()

    @property
    def seconds(self) -> float:
        """So far, by every worker."""
        running = 0.0 if self._begin is None else time.monotonic() - self._begin
        return self._spent + running
