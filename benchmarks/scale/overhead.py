"""What a worker adds to a trial: a real search whose trials sleep instead of training."""

import math
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus

from api.app import create_app
from models.executors.executor import Executor, Payload, Result
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
from tests.ray_nodes import ray_cluster

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


def rest(_: None) -> int:
    """Return the id of a process that has imported what a nap needs."""
    time.sleep(0.5)
    return os.getpid()


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
    """Search with so many slots, over SQLite or the database `url`."""
    trials = trials_a_slot * slots
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=folder, trial_slots=slots, database_url=url or "")
        with _opened(executor, settings) as opened:
            ready: set[int] = set()
            while len(ready) < slots:  # each process has imported this module
                resting = [opened.submit(rest, None, None) for _ in range(slots)]
                ready |= {future.result() for future in resting}
            return _search(settings, _Asleep(opened), trials)


@contextmanager
def _opened(executor: str, settings: Settings) -> Iterator[Executor]:
    with ExitStack() as stack:
        if executor == "ray":
            cluster = stack.enter_context(ray_cluster(settings.trial_slots))
            settings = replace(settings, executor="ray", ray_address=cluster.address)
        artifacts = Artifacts(settings.resolved_artifacts)
        artifacts.mark()  # its processes make no root
        opened = tasks.open_executor(settings, artifacts)
        stack.callback(opened.close)
        yield opened


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
