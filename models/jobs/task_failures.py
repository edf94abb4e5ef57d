"""What went wrong with a task, as a trial tells it."""

from models.executors.executor import TaskLost, TaskOutOfMemory, TaskTimedOut
from models.trials.spec import Failure, FailureKind

_TASK_KINDS: dict[type[Exception], FailureKind] = {
    TaskLost: FailureKind.LOST,
    TaskTimedOut: FailureKind.TIMEOUT,
    TaskOutOfMemory: FailureKind.OUT_OF_MEMORY,
}


def explain(error: Exception) -> Failure:
    """The kind of failure that an exception of the executor stands for, and its text."""
    kind = _TASK_KINDS.get(type(error), FailureKind.ERROR)
    text = str(error) if kind != FailureKind.ERROR else f"{type(error).__name__}: {error}"
    return Failure(kind, text)
