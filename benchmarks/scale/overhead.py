"""What a worker adds to a trial: a real search whose trials sleep instead of training."""

import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from typing import Any

from api.app import create_app
from models.executors.executor import Executor, Payload, Result
from models.executors.local import LocalExecutor
from models.jobs.model import TrialState
from models.jobs.reader import JobReader
from models.jobs.worker import tasks
from models.jobs.worker.context import WorkerHealth
from models.jobs.worker.worker import Worker
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.migrate import migrate
from models.trials.spec import TrialResult, TrialSpec

TRIAL_SECONDS = 0.2
REQUEST = {
    "model": "m",
    "dataset": "builtin:iris",
    "target": "target",
    "task": "multiclass",
    "strategy": "random",
    "evaluation": {"method": "holdout"},
    "reuse": False,
}


class NoExecutor(Exception):
    """This version, or this machine, has no executor of that name."""


class _Asleep:
    """Has the trials of a search sleep in the processes of another executor."""

    def __init__(self, inner: Executor) -> None:
        self.slots = inner.slots
        self._inner = inner
        self.cancel, self.reports = inner.cancel, inner.reports
        self.stop, self.close = inner.stop, inner.close

    def submit(
        self, function: Callable[[Payload], Result], payload: Payload, timeout: float | None
    ) -> "Future[Result]":
        """Start a trial as a nap, and everything else as it is."""
        if isinstance(payload, TrialSpec):
            return self._inner.submit(nap, payload, timeout)  # type: ignore[arg-type]
        return self._inner.submit(function, payload, timeout)


def nap(spec: TrialSpec) -> TrialResult:
    """Sleep as long as a trial takes; a score comes from its number."""
    started = time.perf_counter()
    time.sleep(TRIAL_SECONDS)
    score = math.sin(spec.number) + 2
    seconds = time.perf_counter() - started
    return TrialResult(score, 0.0, {"loss": score}, seconds=seconds, epochs=1, trainer="numpy")


@dataclass(frozen=True, slots=True)
class Overhead:
    """What was measured on so many slots."""

    slots: int
    trials: int
    slept: float  # seconds, the mean of the trials
    overhead: float  # seconds of a slot between two trials
    per_second: float  # trials

    @property
    def share(self) -> float:
        """The overhead as a share of a trial."""
        return self.overhead / TRIAL_SECONDS


def measure(executor: str, slots: int, trials_a_slot: int, url: str | None = None) -> Overhead:
    """Search with so many slots, over SQLite or the database `url`. Raises NoExecutor."""
    trials = trials_a_slot * slots
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=folder, trial_slots=slots, database_url=url or "")
        with _opened(executor, settings) as opened:
            # Every process is there before the search begins.
            for future in [opened.submit(time.sleep, 0.5, None) for _ in range(slots)]:
                future.result()
            return _search(settings, _Asleep(opened), trials)


@contextmanager
def _opened(executor: str, settings: Settings) -> Iterator[Executor]:
    if executor == "local":
        opened: Executor = LocalExecutor(settings.resolved_trial_slots, settings.trial_memory)
    else:
        known = {item.name for item in fields(Settings)}
        if "executor" not in known or not hasattr(tasks, "open_executor"):
            raise NoExecutor(f"This version has no executor {executor!r}.")
        chosen: dict[str, Any] = {"executor": executor}
        settings = replace(settings, **chosen)
        try:
            opened = tasks.open_executor(settings, Artifacts(settings.resolved_artifacts))
        except Exception as error:
            raise NoExecutor(f"The executor {executor!r} cannot be opened: {error}") from error
    try:
        yield opened
    finally:
        opened.close()


def _search(settings: Settings, executor: Executor, trials: int) -> Overhead:
    """Run a real worker until all trials of one job have ended."""
    database = Database(settings.resolved_database_url)
    migrate(database)
    request = REQUEST | {"budget": {"max_trials": trials, "epochs": 1}}
    answer = create_app(settings).test_client().post("/tune", json=request)
    if answer.status_code != HTTPStatus.ACCEPTED:
        raise RuntimeError(answer.text)
    job = JobReader(database).get(answer.get_json()["id"])
    stop = threading.Event()
    worker = Worker(database, executor, settings, WorkerHealth(executor.slots))
    thread = threading.Thread(target=worker.work, args=(stop,))
    thread.start()
    reader = JobReader(database)
    try:
        while len(done := reader.trials(job, states=[TrialState.COMPLETED], limit=trials)) < trials:
            if reader.get(job.id).state.is_final:
                raise RuntimeError(reader.get(job.id).error)
            time.sleep(0.5)
    finally:
        stop.set()
        thread.join()
        database.close()
    began = min(trial.started for trial in done if trial.started)
    ended = max(trial.finished for trial in done if trial.finished)
    slept = statistics.fmean(trial.seconds or 0.0 for trial in done)
    took = (ended - began).total_seconds()
    return Overhead(
        slots=executor.slots,
        trials=trials,
        slept=slept,
        overhead=took * executor.slots / trials - slept,
        per_second=trials / took,
    )
