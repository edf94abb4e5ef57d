"""The phases of a job's run: load the dataset, search, save the winner.

Each phase is advanced with the tasks that are done and returns the phase that follows, itself or
the next one; None after the last.

Any call may find that the database or the artifacts do not answer, and raise DBAPIError or
Unavailable. Tasks train on, and `recovered` returns the phase to go on with afterwards.
"""

import logging
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from models.errors import LuthierError, Unavailable
from models.executors.executor import TaskLost, TaskOutOfMemory
from models.jobs.model import Job
from models.jobs.store.held_job import HeldJob
from models.jobs.store.unit_of_work import artifact_folder as job_folder
from models.jobs.worker.context import WorkerContext

log = logging.getLogger(__name__)

Task = Future[Any]

MAX_TRIES = 3  # of a task that loses its process or runs out of memory
_FIRST_PAUSE = 1.0  # seconds; each that follows is twice as long
_LONGEST_PAUSE = 60.0  # seconds


class JobFailed(LuthierError):
    """The job cannot go on; the text is the job's error."""


class Retries:
    """Decides whether and when a task that failed is tried again.

    One whose storage did not answer always is; one that lost its process or ran out of memory is
    tried MAX_TRIES times; nothing else is tried again.
    """

    def __init__(self) -> None:
        self.waits_for: str | None = None  # the storage that did not answer, in a sentence
        self._failed = 0  # times in a row
        self._lost = 0
        self._next_try = 0.0  # by the monotonic clock

    @property
    def is_due(self) -> bool:
        """Whether the next try may begin."""
        return time.monotonic() >= self._next_try

    def allow(self, error: Exception) -> bool:
        """Count a failure; return whether there is another try, after a pause."""
        self.waits_for = str(error) if isinstance(error, Unavailable) else None
        if self.waits_for is None:
            self._lost += 1
            if self._lost >= MAX_TRIES or not isinstance(error, TaskLost | TaskOutOfMemory):
                return False
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failed)
        log.warning("a task failed and is tried again in %g s: %s", pause, error)
        self._failed += 1
        self._next_try = time.monotonic() + pause
        return True

    def succeeded(self) -> None:
        """Forget the failures."""
        self.waits_for, self._failed, self._lost = None, 0, 0


@dataclass(slots=True)
class RunState:
    """The state that the phases of one run share."""

    job: Job
    context: WorkerContext
    held: HeldJob
    thread: ThreadPoolExecutor  # of the oracle
    is_paused: bool

    def show_wait(self, what: str | None) -> None:
        """Show what the job waits for, in a sentence, or with None that it goes on."""
        if what != self.job.waiting_for:
            self.held.wait_for(what)
            self.job = replace(self.job, waiting_for=what)


class Phase:
    """A part of a job's run; all of it is called from one thread."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.retries = Retries()
        self.in_flight: list[Task] = []  # tasks under way, in the order of submission

    @property
    def room(self) -> int:
        """The number of tasks that it would start, as far as is known before it is advanced."""
        return int(not self.in_flight and self.retries.is_due)

    @property
    def folders(self) -> list[str]:
        """The folders below the artifact root that its tasks may write to."""
        return [job_folder(self.state.job.id)]

    @property
    def awaited(self) -> list[Task]:
        """Futures of which one has to be done before `advance` has anything to do."""
        return self.in_flight

    @property
    def running(self) -> list[int]:
        """The numbers of the trials under way."""
        return []

    def advance(self, done: Collection[Task], slots: int) -> "Phase | None":
        """Take the results of `done`, start up to `slots` tasks; raises JobFailed."""
        raise NotImplementedError

    def check(self) -> "Phase | None":
        """Look at the time and at the reports of running tasks."""
        return self

    def recovered(self) -> "Phase":
        """Return the phase to go on with after a call that database or artifacts did not answer."""
        return self

    @property
    def seconds(self) -> float:
        """Seconds searched so far, by every worker that held the job."""
        return self.state.job.seconds

    def take_changes(self) -> "Phase | None":
        """Apply a change that the user made; return the phase to go on with, None to start anew."""
        return self

    def prepare_exit(self) -> None:
        """Ask the tasks to end whose results would be lost with this worker."""

    @property
    def stopping(self) -> list[Task]:
        """The tasks that were asked to end with a result."""
        return []

    def cancel_tasks(self) -> None:
        """Kill every task that is under way."""
        for task in self.in_flight:
            self.state.context.executor.cancel(task)
        self.in_flight = []

    def discard(self) -> None:
        """Undo what was prepared and will not be finished."""

    def _submit(self, function: Any, payload: Any) -> Task:
        context = self.state.context
        task: Task = context.executor.submit(function, payload, context.trial_timeout)
        self.in_flight.append(task)
        return task
