"""How the API stops: first it says that it is not ready, then it lets requests end."""

import mmap
import signal
import time
from typing import Any

from gunicorn.arbiter import Arbiter


class SharedFlag:
    """A flag that a process raises and every process forked from it sees."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1)

    def raise_(self) -> None:
        """For good."""
        self._page[0] = 1

    @property
    def is_raised(self) -> bool:
        """Whether some process has raised it."""
        return self._page[0] == 1


class DrainingArbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's master, which goes on serving for some seconds after SIGTERM.

    `draining` is raised at once. A second SIGTERM, as SIGINT and SIGQUIT at any time, cuts the
    seconds short.
    """

    def __init__(self, app: Any, draining: SharedFlag, seconds: float) -> None:
        super().__init__(app)
        self._draining = draining
        self._seconds = seconds
        self._stop_at: float | None = None  # by the monotonic clock

    def handle_term(self) -> None:
        """SIGTERM came, or the seconds are over."""
        self._draining.raise_()
        if self._stop_at is None and self._seconds > 0:
            self._stop_at = time.monotonic() + self._seconds
            self.log.info("Draining for %g s", self._seconds)
            return
        super().handle_term()

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """What gunicorn's main loop handles next; the end of the seconds is one more SIGTERM."""
        if self._stop_at is None:
            return list(super().wait_for_signals(timeout))
        left = max(0.0, self._stop_at - time.monotonic())
        signals = list(super().wait_for_signals(min(timeout, left)))
        if time.monotonic() >= self._stop_at:
            signals.append(signal.SIGTERM)
        return signals
