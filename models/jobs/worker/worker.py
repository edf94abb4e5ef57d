"""The worker's loop: claim jobs, share the trial slots among them, keep the leases."""

import logging
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy.exc import DBAPIError

from models.data.library.catalog import DatasetCatalog
from models.errors import Conflict, LeaseLost, LuthierError, SettingError, Unavailable, Unreadable
from models.executors.executor import Executor
from models.jobs.model import JobState
from models.jobs.store.held_job import HeldJob
from models.jobs.store.queue import JobQueue, Wanted
from models.jobs.worker.context import (
    DrainingTasks,
    StorageWatch,
    WorkerContext,
    WorkerHealth,
)
from models.jobs.worker.run import JobRun
from models.jobs.worker.tasks import open_executor
from models.registry.catalog.catalog import ModelCatalog
from models.settings import Settings
from models.store.artifacts import Artifacts
from models.store.changes import Changes, Channel
from models.store.engine import Database
from models.store.leases import RENEWALS
from models.store.readiness import check_schema, missing_part, wait_for
from models.telemetry import about
from models.trials.process import may_have_gpu, visible_gpus

log = logging.getLogger(__name__)

JOBS_AT_ONCE = 8
_GPU_SECONDS = 300.0  # that a process may take to start and to look for a GPU
MAX_HEARTBEAT_SECONDS = 60.0
_GLANCE = 0.02  # seconds between two looks of an idle worker at whether anything was written
_LOOK_AGAIN = 1.0  # seconds after a shared part did not answer


def run_worker(settings: Settings, stop: threading.Event, health: WorkerHealth) -> None:
    """Work on jobs until `stop` is set, then let every job go; `health` is kept up to date."""
    database = Database(settings.resolved_database_url)
    artifacts = Artifacts(settings.resolved_artifacts)
    if not _wait_for_parts(database, artifacts, stop):
        return
    executor = open_executor(settings, artifacts)
    try:
        gpus = _look_for_gpus(executor, settings)
        health.gpus = Counter(gpus)
        Worker(database, executor, settings, health).work(stop)
    finally:
        executor.close()
        database.close()


def _wait_for_parts(database: Database, artifacts: Artifacts, stop: threading.Event) -> bool:
    """Wait until database and artifacts answer; False if `stop` is set before.

    Raises SchemaError for a database of another version, which waiting would not fix.
    """

    def trouble() -> str | None:
        with suppress(DBAPIError):
            check_schema(database)
        return missing_part(database, artifacts)

    return wait_for(trouble, stop)


def _look_for_gpus(executor: Executor, settings: Settings) -> list[str]:
    """The GPUs that a trial process sees; only those processes import TensorFlow.

    Raises SettingError if one is required and there is none.
    """
    gpus: list[str] = []
    # The nodes of a Ray cluster may be there only once trials wait for them.
    if settings.require_gpu or (settings.executor == "local" and may_have_gpu()):
        try:
            gpus = executor.submit(_visible_gpus, None, _GPU_SECONDS).result()
        except LuthierError as error:
            log.warning("no trial process could look for a GPU: %s", error)
        log.info("GPUs that trials can use: %s", ", ".join(gpus) or "none")
    if settings.require_gpu and not gpus:
        raise SettingError(
            "LUTHIER_REQUIRE_GPU=1: TensorFlow sees no GPU. Is this the image worker-gpu, does the"
            " container have a GPU, and does its driver fit? CUDA_VISIBLE_DEVICES may hide it."
        )
    return gpus


def _visible_gpus(_: None) -> list[str]:
    return visible_gpus()


class Worker:
    """One claimant of jobs; everything but the heartbeat happens in the thread of `work`."""

    def __init__(
        self, database: Database, executor: Executor, settings: Settings, health: WorkerHealth
    ) -> None:
        self.owner = f"{socket.gethostname()[:40]}-{secrets.token_hex(6)}"
        self._poll_seconds = settings.poll_seconds
        self._exit_seconds = settings.exit_seconds
        self._health = health
        self._changes = Changes(database, Channel.JOBS)
        self._queue = JobQueue(database, self.owner, settings.lease_seconds)
        self._renewal_seconds = min(settings.lease_seconds / RENEWALS, MAX_HEARTBEAT_SECONDS)
        artifacts = Artifacts(settings.resolved_artifacts)
        self._context = WorkerContext(
            database=database,
            artifacts=artifacts,
            storage=StorageWatch(artifacts, self._renewal_seconds),
            datasets=DatasetCatalog(database),
            models=ModelCatalog(database),
            executor=executor,
            draining=DrainingTasks(executor),
            owner=self.owner,
            trial_timeout=settings.trial_timeout,
            stop_seconds=settings.stop_seconds,
        )
        self._runs: dict[str, JobRun] = {}
        self._turns: dict[str, int] = {}  # job -> turn in which it was last given a slot
        self._turn = 0
        self._next_look = self._next_question = 0.0  # by the monotonic clock
        self._is_interrupted = False  # some job, as artifacts do not answer

    def work(self, stop: threading.Event) -> None:
        """Claim and drive jobs until `stop` is set."""
        heartbeat = threading.Thread(target=self._keep_leases, args=(stop,), daemon=True)
        heartbeat.start()
        threading.Thread(target=self._context.storage.run, args=(stop,), daemon=True).start()
        log.info("worker %s takes jobs", self.owner)
        while not stop.is_set():
            self._is_interrupted = False
            try:
                self._step(stop)
            except (DBAPIError, Unavailable) as error:
                log.error("database or artifacts do not answer; trying again: %s", error)
                self._is_interrupted = True
            if self._is_interrupted:
                self._next_question = 0.0
                stop.wait(_LOOK_AGAIN)
        self._requeue()
        self._changes.close()
        heartbeat.join()
        log.info("worker %s has let its jobs go", self.owner)

    def _step(self, stop: threading.Event) -> None:
        if time.monotonic() >= self._next_look:
            self._look()
            self._next_look = time.monotonic() + self._poll_seconds
            self._advance({})
        owners = {future: run for run in self._runs.values() for future in run.awaited}
        draining = self._context.draining
        patience = max(0.0, self._next_look - time.monotonic())
        if not owners:
            self._rest(stop, patience)
            return
        told = self._changes.next
        awaited = [*owners, *draining.futures, told]
        done, _ = wait(awaited, timeout=patience, return_when=FIRST_COMPLETED)
        if told in done:
            self._take_notice()
            done.discard(told)
        if done:
            draining.check()
            ended: dict[str, set[Future[Any]]] = {}
            for future in done & owners.keys():
                run = owners[future]
                tasks = ended.setdefault(run.job.id, set())
                if future in run.in_flight:
                    tasks.add(future)
            self._advance(ended)

    def _rest(self, stop: threading.Event, seconds: float) -> None:
        """Wait with nothing to do, until something is written: perhaps it is a job."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not stop.wait(min(left, _GLANCE)):
            if self._take_notice():
                return

    def _take_notice(self) -> bool:
        """Look at once, and ask the database, if something was written; return whether it was."""
        is_noticed = self._changes.noticed()
        if is_noticed:
            self._next_look = self._next_question = 0.0
        return is_noticed

    def _look(self) -> None:
        """See what came from outside: requests, jobs, the time, and the reports of trials."""
        if time.monotonic() >= self._next_question:
            self._ask()
        self._context.draining.check()
        for run in list(self._runs.values()):
            self._guarded(run, run.check)
        busy = sum(len(run.in_flight) for run in self._runs.values())
        self._health.slots = self._context.executor.slots
        self._health.loop_turned(busy, len(self._runs))
        self._forget_ended()

    def _ask(self) -> None:
        """Ask the database for requests and jobs; rarely where it tells of them."""
        pause = self._renewal_seconds if self._changes.are_told else 0.0
        self._follow_requests()
        self._claim()
        self._next_question = time.monotonic() + pause

    def _score_last(self) -> None:
        """Wait for scores of the trials that no other worker could train in their jobs' time."""
        end = time.monotonic() + self._exit_seconds
        for run in self._runs.values():
            self._guarded(run, run.prepare_exit)
        while (left := end - time.monotonic()) > 0:
            owners = {task: run for run in self._runs.values() for task in run.stopping}
            if not owners:
                return
            done, _ = wait(
                owners, timeout=min(left, self._poll_seconds), return_when=FIRST_COMPLETED
            )
            self._queue.renew()
            for task in done:
                run = owners[task]
                self._guarded(run, partial(run.advance, [task], 0))

    def _requeue(self) -> None:
        """Let every job go, with all that has ended by now written down."""
        with suppress(DBAPIError, Unavailable):  # then there is nowhere to write it
            self._score_last()
        for run in self._runs.values():
            with suppress(DBAPIError, Unavailable):  # then its lease has to run out
                ended = [future for future in run.in_flight if future.done()]
                self._guarded(run, partial(run.advance, ended, 0))
                if not run.is_over:
                    self._guarded(run, run.requeue)
        self._context.draining.kill()

    def _forget_ended(self) -> None:
        left = {job: run for job, run in self._runs.items() if not run.is_over}
        if len(left) < len(self._runs):
            self._next_question = 0.0  # there is room for another job
        self._runs = left

    def _follow_requests(self) -> None:
        """Do what users asked since the last look: pause, resume, cancel."""
        wanted = self._queue.held()
        for job in wanted.keys() - self._runs.keys():
            # Left behind by a fault: let it be claimed again.
            with suppress(LeaseLost):
                HeldJob(self._context.database, job, self.owner).release()
        for job, run in self._runs.items():
            if job in wanted and wanted[job].claim == run.job.claims:
                self._follow(run, wanted[job])
            else:
                self._lose(run)
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
            log.info("claimed job %s", job.id, extra={"fields": {"job": job.id}})
            # A trial of it may be begun again: only one process is to write its weights.
            self._context.draining.kill(job.id)
            self._runs[job.id] = JobRun(job, self._context)

    def _advance(self, done: Mapping[str, Collection[Future[Any]]]) -> None:
        """Take in the tasks that are done, by job, and fill the slots until no job wants one."""
        idle: set[str] = set()
        while True:
            shares = self._shares(done, idle)
            if not done and not shares:
                break
            for job in {*done, *shares}:
                run, share = self._runs[job], shares.get(job, 0)
                ended = done.get(job, ())
                before = len(run.in_flight) - len(ended)
                self._guarded(run, partial(run.advance, ended, share))
                if len(run.in_flight) - before < share:
                    idle.add(job)
            done = {}
        self._forget_ended()

    def _shares(
        self, done: Mapping[str, Collection[Future[Any]]], idle: Collection[str]
    ) -> dict[str, int]:
        """Give each free slot to the job with the fewest tasks under way, in turns."""
        ended = {job: len(done.get(job, ())) for job in self._runs}
        tasks = {job: len(run.in_flight) - ended[job] for job, run in self._runs.items()}
        room = {job: run.room + ended[job] for job, run in self._runs.items() if job not in idle}
        shares: dict[str, int] = {}
        busy = sum(tasks.values()) + len(self._context.draining)
        for _ in range(self._context.executor.slots - busy):
            ready = [job for job, places in room.items() if places > 0]
            if not ready:
                break
            job = min(ready, key=lambda job: (tasks[job], self._turns.get(job, 0)))
            shares[job] = shares.get(job, 0) + 1
            tasks[job] += 1
            room[job] -= 1
            self._turn += 1
            self._turns[job] = self._turn
        return shares

    def _guarded(self, run: JobRun, action: Callable[[], object]) -> None:
        """Do something for one job; a fault of it does not reach the others."""
        with about(job=run.job.id):
            self._try(run, action)

    def _try(self, run: JobRun, action: Callable[[], object]) -> None:
        try:
            action()
        except LeaseLost as lost:
            log.warning("%s", lost)
            self._lose(run)
        except DBAPIError:
            run.interrupt()
            raise  # no other job can go on either
        except Unavailable as error:
            log.error("artifacts do not answer; trying again: %s", error)
            run.interrupt()
            self._is_interrupted = True
        except Unreadable as error:
            log.error("job %s failed: %s", run.job.id, error)
            self._fail(run, str(error))
        except Exception as error:
            log.exception("job %s failed inside the worker", run.job.id)
            self._fail(run, f"Internal error: {type(error).__name__}: {error}")

    def _lose(self, run: JobRun) -> None:
        """Leave a job to whoever holds it now."""
        running, folders = run.running, run.folders
        run.abandon()
        self._queue.survived(run.job.id, run.job.claims, running, folders)

    def _fail(self, run: JobRun, error: str) -> None:
        run.abandon()
        # A job that was just paused, cancelled or lost is let go at the next look instead.
        with suppress(Conflict, LeaseLost):
            held = HeldJob(self._context.database, run.job.id, self.owner, run.job.claims)
            held.finish(JobState.FAILED, error=error)

    def _keep_leases(self, stop: threading.Event) -> None:
        pause = self._renewal_seconds
        renewed = True
        # After a failure the others must see a renewal as soon as there can be one.
        while not stop.wait(pause if renewed else min(pause, _LOOK_AGAIN)):
            renewed = False
            try:
                self._queue.renew()
                renewed = True
            except DBAPIError as error:
                log.error("leases could not be renewed: %s", error)
            self._health.heartbeat_turned(renewed=renewed)
