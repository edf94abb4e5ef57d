"""Tasks whose results are no longer needed, on their way to an end."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from models.errors import Unavailable
from models.executors.executor import Executor

# A process that is killed costs its successor's start: some seconds of one core. Trials look
# whether they are to stop after each epoch.
PATIENCE = 2.0  # seconds that a trial has to stop by itself


@dataclass(frozen=True, slots=True)
class _Draining:
    job: str
    deadline: float  # by the monotonic clock
    clean_up: Callable[[], None]


class DrainingTasks:
    """Asks tasks to stop after their search has ended, and kills those that do not in time.

    Their results are dropped; each holds its slot until it is done. Not thread-safe.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._tasks: dict[Future[Any], _Draining] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def futures(self) -> list[Future[Any]]:
        """The tasks under way."""
        return list(self._tasks)

    def add(self, job: str, task: "Future[Any]", clean_up: Callable[[], None]) -> None:
        """Ask a task of a job to stop; `clean_up` removes what it wrote, after its end."""
        self._executor.stop(task)
        self._tasks[task] = _Draining(job, time.monotonic() + PATIENCE, clean_up)

    def check(self) -> None:
        """Forget the tasks that are done, and kill those that did not stop in time."""
        for task, draining in list(self._tasks.items()):
            if task.done() or time.monotonic() >= draining.deadline:
                self._kill(task)

    def kill(self, job: str | None = None) -> None:
        """Kill those of a job, or all, now."""
        for task, draining in list(self._tasks.items()):
            if job in (None, draining.job):
                self._kill(task)

    def _kill(self, task: "Future[Any]") -> None:
        draining = self._tasks.pop(task)
        self._executor.cancel(task)
        with suppress(Unavailable):
            draining.clean_up()
