"""How much memory the process of a trial takes while it trains."""

import time

import psutil

from models.trials.trainers.base import EpochReport, Report

_LOOK_SECONDS = 0.05  # least time between two looks


class PeakMemory:
    """Looks at the process's resident memory as epochs are reported, and passes the reports on."""

    def __init__(self, report: Report | None = None) -> None:
        self.bytes = 0
        self._report = report
        self._process = psutil.Process()
        self._next_look = 0.0  # by the monotonic clock

    def __call__(self, epoch: EpochReport) -> bool | None:
        """Take in an epoch; answer what whoever is told of it answers."""
        if time.monotonic() >= self._next_look:
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            self._next_look = time.monotonic() + _LOOK_SECONDS
        return self._report(epoch) if self._report is not None else None
