"""The interface of an executor and its errors."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from models.errors import LuthierError

Payload = TypeVar("Payload")
Result = TypeVar("Result")


class TaskLost(LuthierError):
    """The process that ran the task died; running the task again may help."""


class TaskTimedOut(LuthierError):
    """The task exceeded its time limit and was ended."""


class TaskOutOfMemory(LuthierError):
    """The task's process exceeded its memory limit and was ended."""


class Executor(Protocol):
    """Runs functions in warm processes, of this machine or others, `slots` at a time.

    A future raises TaskLost, TaskTimedOut, TaskOutOfMemory or the function's own exception; a
    cancelled one raises CancelledError.
    """

    @property
    def slots(self) -> int:
        """The number of tasks that can run at once; it may change."""
        ...

    def submit(
        self, function: Callable[[Payload], Result], payload: Payload, timeout: float | None
    ) -> "Future[Result]":
        """Start `function(payload)`; both must be picklable. `timeout` is in seconds."""
        ...

    def cancel(self, future: "Future[Result]") -> None:
        """End the task now, even if it is running; do nothing if it is done."""
        ...

    def reports(self, future: "Future[Any]") -> list[Any]:
        """Return what the task reported by `models.executors.local.tell` since the last call.

        The reports are in order and complete once the future is done, unless its process died.
        Never waits.
        """
        ...

    def stop(self, future: "Future[Any]") -> None:
        """Ask the task to end early with a result: its `tell` returns True from now on."""
        ...

    def close(self) -> None:
        """End every process and every task."""
        ...
