"""The tuning plane: claims jobs, shares the trial slots among them, and keeps its leases."""

import logging
import secrets
import socket
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import suppress
from functools import partial

from sqlalchemy.exc import DBAPIError

from models.data.catalog import DatasetCatalog
from models.errors import Conflict, LeaseLost, LuthierError
from models.executors.executor import Executor
from models.executors.local import LocalExecutor
from models.jobs.ledger import Ledger
from models.jobs.lifecycle import JobState
from models.jobs.packing import PackingExecutor
from models.jobs.queue import JobQueue, Wanted
from models.jobs.run import JobRun, Parts
from models.registry.catalog import ModelCatalog
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.trials.process import has_gpu, may_have_gpu, prepare_trials

log = logging.getLogger(__name__)

JOBS_AT_ONCE = 8
_GPU_SECONDS = 300.0  # that a process may take to start and to look for a GPU


def run_worker(settings: Settings, stop: threading.Event) -> None:
    """Work on jobs until `stop` is set, then hand every job back."""
    database = Database(settings.resolved_database_url)
    slots = settings.resolved_trial_slots
    executor = LocalExecutor(slots, settings.trial_memory, prepare_trials(slots, settings.trainer))
    try:
        packs = _trains_packs(executor, settings.trainer)
        Worker(database, PackingExecutor(executor) if packs else executor, settings).work(stop)
    finally:
        executor.close()
        database.close()


def _trains_packs(executor: Executor, trainer: str) -> bool:
    """Whether trials are trained in packs: if that is asked for, or trial processes see a GPU."""
    if trainer != "auto" or not may_have_gpu():
        return trainer == "pack"
    try:
        return executor.submit(has_gpu, None, _GPU_SECONDS).result()
    except LuthierError as error:
        log.warning("no trial process could look for a GPU: %s", error)
        return False


class Worker:
    """One claimant of jobs; everything but the heartbeat happens in the thread of `work`."""

    def __init__(self, database: Database, executor: Executor, settings: Settings) -> None:
        self.owner = f"{socket.gethostname()[:40]}-{secrets.token_hex(6)}"
        self._poll_seconds = settings.poll_seconds
        self._queue = JobQueue(database, self.owner, settings.lease_seconds)
        self._parts = Parts(
            database=database,
            artifacts=Artifacts(settings.resolved_artifacts),
            datasets=DatasetCatalog(database),
            models=ModelCatalog(database),
            executor=executor,
            owner=self.owner,
            trial_timeout=settings.trial_timeout,
            forecast_seconds=settings.forecast_seconds,
            trial_slots=settings.resolved_trial_slots,
        )
        self._runs: dict[str, JobRun] = {}
        self._turns: dict[str, int] = {}  # job -> turn in which it was last given a slot
        self._turn = 0

    def work(self, stop: threading.Event) -> None:
        """Claim and drive jobs until `stop` is set."""
        heartbeat = threading.Thread(target=self._keep_leases, args=(stop,), daemon=True)
        heartbeat.start()
        log.info("worker %s takes jobs", self.owner)
        while not stop.is_set():
            try:
                self._step(stop)
            except DBAPIError:
                log.exception("the database does not answer; trying again")
                stop.wait(1.0)
        for run in self._runs.values():
            self._guarded(run, run.hand_back)
        heartbeat.join()

    def _step(self, stop: threading.Event) -> None:
        self._follow_requests()
        self._claim()
        self._fill_slots()
        for run in list(self._runs.values()):
            self._guarded(run, run.check_budget)
            self._guarded(run, run.take_reports)
        owners = {future: run for run in self._runs.values() for future in run.in_flight}
        if not owners:
            stop.wait(self._poll_seconds)
            return
        done, _ = wait(owners, timeout=self._poll_seconds, return_when=FIRST_COMPLETED)
        for future in done:
            run = owners[future]
            if future in run.in_flight:
                self._guarded(run, partial(run.settle, future))
        self._forget_ended()

    def _forget_ended(self) -> None:
        self._runs = {job: run for job, run in self._runs.items() if not run.is_over}

    def _follow_requests(self) -> None:
        """Do what users asked since the last look: pause, resume, cancel."""
        wanted = self._queue.held()
        for job in wanted.keys() - self._runs.keys():
            # Left behind by a fault: let it be claimed again.
            self._queue.release(job)
        for job, run in self._runs.items():
            if job in wanted:
                self._follow(run, wanted[job])
            else:
                run.abandon()
        self._forget_ended()

    def _follow(self, run: JobRun, wanted: Wanted) -> None:
        if wanted.changes != run.job.changes:
            self._guarded(run, run.take_changes)
        if wanted.state == JobState.CANCELLING:
            self._guarded(run, run.cancel)
        elif wanted.state == JobState.PAUSED:
            self._guarded(run, run.pause)
        elif wanted.state == JobState.QUEUED:
            self._guarded(run, run.resume)

    def _claim(self) -> None:
        while len(self._runs) < JOBS_AT_ONCE:
            job = self._queue.claim()
            if job is None:
                return
            log.info("claimed job %s", job.id)
            self._runs[job.id] = JobRun(job, self._parts)

    def _fill_slots(self) -> None:
        """Give each free slot to the job with the fewest tasks under way, in turns."""
        idle: set[str] = set()
        while self._busy < self._parts.executor.slots:
            ready = [run for run in self._runs.values() if run.job.id not in idle]
            if not ready:
                return
            run = min(ready, key=lambda run: (len(run.in_flight), self._turns.get(run.job.id, 0)))
            before = len(run.in_flight)
            self._guarded(run, run.start_task)
            self._turn += 1
            self._turns[run.job.id] = self._turn
            if len(run.in_flight) <= before:
                idle.add(run.job.id)

    @property
    def _busy(self) -> int:
        return sum(len(run.in_flight) for run in self._runs.values())

    def _guarded(self, run: JobRun, action: Callable[[], object]) -> None:
        """Keep a fault of one job from the others."""
        try:
            action()
        except LeaseLost as lost:
            log.warning("%s", lost)
            run.abandon()
        except DBAPIError:
            # What was not committed is done again once the database answers.
            run.abandon()
            raise
        except Exception as error:
            log.exception("job %s failed inside the worker", run.job.id)
            run.abandon()
            message = f"Internal error: {type(error).__name__}: {error}"
            # A job that was just paused, cancelled or lost is let go at the next look instead.
            with suppress(Conflict, LeaseLost):
                Ledger(self._parts.database, run.job.id, self.owner).finish(
                    JobState.FAILED, error=message
                )

    def _keep_leases(self, stop: threading.Event) -> None:
        while not stop.wait(self._queue.lease_seconds / 3):
            try:
                self._queue.renew()
            except DBAPIError:
                log.exception("leases could not be renewed")
