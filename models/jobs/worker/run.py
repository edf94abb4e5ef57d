"""One claimed job in a worker, from phase to phase."""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from models.errors import Conflict
from models.jobs.model import Job, JobState
from models.jobs.store.held_job import HeldJob
from models.jobs.worker.context import WorkerContext
from models.jobs.worker.phases import JobFailed, Phase, RunState
from models.jobs.worker.searching import Loading


class JobRun:
    """Runs one claimed job; the worker calls all of it from one thread."""

    def __init__(self, job: Job, context: WorkerContext) -> None:
        self._state = RunState(
            job=job,
            context=context,
            held=HeldJob(context.database, job.id, context.owner, job.claims),
            thread=ThreadPoolExecutor(1, "oracle"),
            is_paused=job.state == JobState.PAUSED,
        )
        self._phase: Phase = Loading(self._state)
        self._is_interrupted = False
        self.is_over = False

    @property
    def job(self) -> Job:
        """The job as this run knows it."""
        return self._state.job

    @property
    def in_flight(self) -> list[Future[Any]]:
        """The tasks under way, in the order in which they were submitted."""
        return list(self._phase.in_flight)

    @property
    def awaited(self) -> list[Future[Any]]:
        """Futures of which one has to be done before `advance` has anything to do."""
        return list(self._phase.awaited)

    @property
    def running(self) -> list[int]:
        """The numbers of the trials under way."""
        return self._phase.running

    @property
    def folders(self) -> list[str]:
        """The folders below the artifact root that its tasks may write to."""
        return self._phase.folders

    @property
    def room(self) -> int:
        """The number of tasks that it would start, as far as is known before it is advanced."""
        return 0 if self.is_over or self._state.is_paused else self._phase.room

    def advance(self, done: Collection[Future[Any]], slots: int) -> None:
        """Take the results of the tasks that are `done`, and start up to `slots` new ones."""
        if self.is_over:
            return
        self._recover()
        slots = 0 if self._state.is_paused else slots
        try:
            while self._enter(self._phase.advance(done, slots)):
                done = ()
        except JobFailed as failure:
            self._fail(str(failure))

    def check(self) -> None:
        """Look at the time and at the reports of running trials."""
        if not self.is_over:
            self._recover()
            self._enter(self._phase.check())
        if not self.is_over:
            storage = self._state.context.storage
            self._state.show_wait(self._phase.retries.waits_for or storage.trouble)

    def interrupt(self) -> None:
        """Go on from what is stored, as database or artifacts did not answer; tasks run on."""
        self._is_interrupted = True

    def _recover(self) -> None:
        if self._is_interrupted:
            self._phase = self._phase.recovered()
            self._is_interrupted = False

    def take_changes(self) -> None:
        """Apply what the user changed in the job, also after the search has ended."""
        self._recover()
        self._state.job = self._state.held.job()
        following = self._phase.take_changes()
        if following is None:
            self._cancel_tasks()
            self._phase.discard()
            following = Loading(self._state)
        self._phase = following

    def prepare_exit(self) -> None:
        """Ask the trials to stop that no other worker could train anew in the job's time."""
        if not self.is_over:
            self._recover()
            self._phase.prepare_exit()

    @property
    def stopping(self) -> list[Future[Any]]:
        """The trials that were asked to stop so that they get a score."""
        return [] if self.is_over else self._phase.stopping

    def cancel(self) -> None:
        """End every task and the job, as its user asked."""
        self._cancel_tasks()
        self._phase.discard()
        self._state.held.finish(JobState.CANCELLED)
        self._end()

    def pause(self) -> None:
        """Start nothing more; let the job go once its last task has ended."""
        self._state.is_paused = True
        if not self.in_flight:
            self._state.held.release(self._phase.seconds)
            self._end()

    def resume(self) -> None:
        """Go on with a job that was resumed before its last task had ended."""
        self._state.held.resume()
        self._state.is_paused = False

    def requeue(self) -> None:
        """Interrupt the job; another worker goes on from the last committed trial."""
        self._cancel_tasks()
        self._state.held.release(self._phase.seconds)
        self._end()

    def abandon(self) -> None:
        """Stop working without writing: the job belongs to another worker now."""
        self._cancel_tasks()
        self._end()

    def _enter(self, following: Phase | None) -> bool:
        """Go on with the phase that follows; return whether it has anything to do now."""
        if following is None:
            self._end()
            return False
        is_new, self._phase = following is not self._phase, following
        return is_new

    def _fail(self, error: str) -> None:
        self._cancel_tasks()
        self._phase.discard()
        with suppress(Conflict):  # paused, cancelled or changed just now: the next look does that
            changes = self.job.changes
            self._state.held.finish(JobState.FAILED, error=error, changes=changes)
            self._end()

    def _cancel_tasks(self) -> None:
        self._phase.cancel_tasks()
        self._state.context.draining.kill(self.job.id)

    def _end(self) -> None:
        self.is_over = True
        self._state.thread.shutdown(wait=False, cancel_futures=True)
