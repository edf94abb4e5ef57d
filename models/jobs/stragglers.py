"""Trials that nobody waits for any more, on their way to an end."""

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
class _Straggler:
    job: str
    deadline: float  # by the monotonic clock
    forget: Callable[[], None]


class Stragglers:
    """Has tasks stop that still run when their search has ended, and ends those that do not.

    What they come to is nobody's concern; each holds its slot until it is done. Not thread-safe.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._tasks: dict[Future[Any], _Straggler] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def futures(self) -> list[Future[Any]]:
        """The tasks under way."""
        return list(self._tasks)

    def add(self, job: str, task: "Future[Any]", forget: Callable[[], None]) -> None:
        """Ask a task of a job to stop; `forget` removes what it may have written, at its end."""
        self._executor.stop(task)
        self._tasks[task] = _Straggler(job, time.monotonic() + PATIENCE, forget)

    def look(self) -> None:
        """Forget what is done, and end what did not stop in time."""
        for task, straggler in list(self._tasks.items()):
            if task.done() or time.monotonic() >= straggler.deadline:
                self._end(task)

    def end(self, job: str | None = None) -> None:
        """End those of a job, or all, now."""
        for task, straggler in list(self._tasks.items()):
            if job in (None, straggler.job):
                self._end(task)

    def _end(self, task: "Future[Any]") -> None:
        straggler = self._tasks.pop(task)
        self._executor.cancel(task)
        with suppress(Unavailable):
            straggler.forget()
