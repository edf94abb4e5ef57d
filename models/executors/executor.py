"""What a place to run trials offers."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from models.errors import LuthierError

Payload = TypeVar("Payload")
Result = TypeVar("Result")


class TaskLost(LuthierError):
    """The process that ran the task died; running the task again may help."""


class TaskTimedOut(LuthierError):
    """The task ran past its time limit and was ended."""


class TaskOutOfMemory(LuthierError):
    """The task's process outgrew its memory limit and was ended."""


class Executor(Protocol):
    """Runs functions in warm processes, `slots` at a time.

    A future that fails raises TaskLost, TaskTimedOut, TaskOutOfMemory or whatever the function
    itself raised; a cancelled one raises CancelledError.
    """

    slots: int

    def submit(
        self, function: Callable[[Payload], Result], payload: Payload, timeout: float | None
    ) -> "Future[Result]":
        """Start `function(payload)`; both must be picklable. `timeout` is in seconds."""
        ...

    def cancel(self, future: "Future[Result]") -> None:
        """End the task now, even if it is running; nothing happens if it is done."""
        ...

    def reports(self, future: "Future[Any]") -> list[Any]:
        """What the task has told by `models.executors.reporting.tell` since the last call.

        In the order of telling; nothing is missing once the future is done, unless its process
        died. Never waits.
        """
        ...

    def stop(self, future: "Future[Any]", part: int = 0) -> None:
        """Ask the task to end early with a result: its `tell` answers True from now on.

        A task that does several things at once is asked for each `part` apart.
        """
        ...

    def close(self) -> None:
        """End every process, finished or not."""
        ...
