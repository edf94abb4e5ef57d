"""The parts that the job runs of a worker share, and what its probes are told."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from models.data.library.catalog import DatasetCatalog
from models.executors.executor import Executor
from models.registry.catalog.catalog import ModelCatalog
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.readiness import artifacts_trouble

STUCK_AFTER = 300.0  # seconds; asking an oracle with many trials may well take one minute
# A process that is killed costs its successor's start: some seconds of one core. Trials look
# whether they are to stop after each epoch.
PATIENCE = 2.0  # seconds that a trial has to stop by itself


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
        draining.clean_up()


class StorageWatch:
    """Looks from time to time, in a thread of its own, whether the artifacts can be used.

    Trials that wait for them say nothing until they end.
    """

    def __init__(self, artifacts: Artifacts, every: float) -> None:
        self.trouble: str | None = None  # in a sentence
        self._artifacts = artifacts
        self._every = every  # seconds

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        while not stop.wait(self._every):
            self.trouble = artifacts_trouble(self._artifacts)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The parts of a worker."""

    database: Database
    artifacts: Artifacts
    storage: StorageWatch  # of the artifacts
    datasets: DatasetCatalog
    models: ModelCatalog
    executor: Executor
    draining: DrainingTasks  # of its executor
    owner: str
    trial_timeout: float  # seconds
    stop_seconds: float  # that a trial has at least to stop at the end of its search
