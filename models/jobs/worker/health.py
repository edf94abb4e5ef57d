"""The health of a worker, for its probes and metrics."""

import time
from collections.abc import Mapping

STUCK_AFTER = 300.0  # seconds; asking an oracle with many trials may well take one minute


class WorkerHealth:
    """Figures that the worker's threads write and others read.

    `stuck_after` is how many seconds one turn of either thread may take.
    """

    def __init__(self, slots: int, stuck_after: float = STUCK_AFTER) -> None:
        self.slots = slots
        self.busy = 0  # slots that run a task
        self.jobs = 0  # jobs held
        self.gpus: Mapping[str, int] | None = None  # device name -> number; None while unknown
        self._stuck_after = stuck_after
        self._loop = self._heartbeat = self._renewed = time.monotonic()

    def loop_turned(self, busy: int, jobs: int) -> None:
        """Record a turn of the thread that runs the jobs."""
        self.busy, self.jobs = busy, jobs
        self._loop = time.monotonic()

    def heartbeat_turned(self, *, renewed: bool) -> None:
        """Record a turn of the thread that renews the leases, and whether it could."""
        self._heartbeat = time.monotonic()
        if renewed:
            self._renewed = self._heartbeat

    @property
    def loop_age(self) -> float:
        """Seconds since the last turn of the worker's loop."""
        return time.monotonic() - self._loop

    @property
    def renewal_age(self) -> float:
        """Seconds since the leases were last renewed."""
        return time.monotonic() - self._renewed

    def fault(self) -> str | None:
        """Return why the process should be restarted; None if it is healthy.

        A database that does not answer is no reason: another process would not reach it either.
        """
        ages = {"loop": self.loop_age, "heartbeat": time.monotonic() - self._heartbeat}
        stuck = [name for name, age in ages.items() if age > self._stuck_after]
        return f"Stuck for {self._stuck_after:g} s: {', '.join(stuck)}." if stuck else None
