"""The phases of a job's run: load the dataset, search, save the winner.

Each phase is advanced with the tasks that are done and returns the phase that follows, itself or
the next one; None after the last.
"""

from collections.abc import Collection
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.library.builtin_loading import BuiltinRequest, store_builtin
from models.errors import Conflict, LuthierError, NotFound
from models.jobs.model import Job, JobState
from models.jobs.search.search import Search
from models.jobs.store.held_job import HeldJob
from models.jobs.worker.context import WorkerContext
from models.jobs.worker.tasks import export, failure_of, train
from models.registry.catalog import artifact_folder
from models.registry.export import ExportResult, ExportSpec
from models.trials.trainers.base import EpochReport

# Trials that wait for a slot while the oracle is asked for the next. It is a fixed number, so that
# what a proposal is based on does not depend on how fast anything is.
_AHEAD = 1

Task = Future[Any]


class JobFailed(LuthierError):
    """The job cannot go on; the text is the job's error."""


@dataclass(slots=True)
class RunState:
    """The state that the phases of one run share."""

    job: Job
    context: WorkerContext
    held: HeldJob
    thread: ThreadPoolExecutor  # of the oracle
    is_paused: bool


class Phase:
    """A part of a job's run; all of it is called from one thread."""

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.in_flight: list[Task] = []  # tasks under way, in the order of submission

    @property
    def room(self) -> int:
        """The number of tasks that it would start, as far as is known before it is advanced."""
        return int(not self.in_flight)

    @property
    def awaited(self) -> list[Task]:
        """Futures of which one has to be done before `advance` has anything to do."""
        return self.in_flight

    def advance(self, done: Collection[Task], slots: int) -> "Phase | None":
        """Take the results of `done`, start up to `slots` tasks; raises JobFailed."""
        raise NotImplementedError

    def check(self) -> "Phase | None":
        """Look at the time and at the reports of running tasks."""
        return self

    def take_changes(self) -> None:
        """Apply a change that the user made to the job."""

    def cancel_tasks(self) -> None:
        """Kill every task that is under way."""
        for task in self.in_flight:
            self.state.context.executor.cancel(task)
        self.in_flight = []

    def requeue(self) -> None:
        """Kill every task, and let what it was doing wait for the next worker."""
        self.cancel_tasks()

    def discard(self) -> None:
        """Undo what was prepared and will not be finished."""

    def _submit(self, function: Any, payload: Any) -> Task:
        context = self.state.context
        task: Task = context.executor.submit(function, payload, context.trial_timeout)
        self.in_flight.append(task)
        return task


class Loading(Phase):
    """Find the job's dataset; a builtin one is loaded and stored once."""

    def advance(self, done: Collection[Task], slots: int) -> Phase:
        """Return the search as soon as the rows are stored."""
        state = self.state
        if state.job.dataset is not None:
            return Searching(state)
        name = state.job.spec.dataset.removeprefix(BUILTIN_PREFIX)
        datasets = state.context.datasets
        if any(task in done for task in self.in_flight):
            (task,), self.in_flight = self.in_flight, []
            try:
                stored = task.result()
            except Exception as error:
                raise JobFailed(f"The dataset could not be loaded: {error}") from error
            source = f"{BUILTIN_PREFIX}{name}"
            record = datasets.add(
                stored.id, stored.rows, stored.columns, source, name, size=stored.bytes
            )
            return self._use(record.id)
        known = datasets.find_builtin(name)
        if known is not None:
            return self._use(known.id)
        if slots > 0 and not self.in_flight:
            self._submit(store_builtin, BuiltinRequest(name, state.context.artifacts.root))
        return self

    def _use(self, dataset: str) -> Phase:
        try:
            self.state.held.set_dataset(dataset)
        except NotFound:
            return self  # deleted just now: it is loaded again
        self.state.job = replace(self.state.job, dataset=dataset)
        return Searching(self.state)


class Searching(Phase):
    """Train the trials that the search proposes, until its budget is spent."""

    def __init__(self, state: RunState) -> None:
        super().__init__(state)
        self._numbers: dict[Task, int] = {}  # of the trials under way
        self._search = Search(state.job, state.held, state.context.artifacts, state.thread)
        self._is_resumed = False

    @property
    def seconds(self) -> float:
        """Seconds searched so far, by every worker that held the job."""
        return self._search.seconds

    @property
    def room(self) -> int:
        """The number of further trials that may run at once."""
        if self.state.is_paused:
            return 0
        return max(0, self._at_once - len(self.in_flight))

    @property
    def awaited(self) -> list[Task]:
        """The tasks, and the oracle's answer where a trial could start at once."""
        return [*self.in_flight, *(self._search.awaited if self.room else ())]

    def advance(self, done: Collection[Task], slots: int) -> Phase:
        """Record results and start the trials that follow them, in one transaction."""
        if not self._is_resumed:
            self._search.resume()
            self._is_resumed = True
            if self.state.job.stop_reason is not None:
                # An earlier worker ended the search and died before the winner was saved.
                return Saving(self.state, self._search)
        search, ended = self._search, [task for task in self.in_flight if task in done]
        with self.state.held.batch():
            self._take_reports(ended)
            for task in ended:
                if search.stop_reason() is not None:
                    break  # as if it had come too late
                self._take_result(task)
                # Asked after each result, so that what a proposal follows does not depend on
                # how many came together.
                self._look_ahead()
            self._look_ahead()
            following = search.next_trials(min(slots, self.room))
        for spec in following:
            self._numbers[self._submit(train, spec)] = spec.number
        return self._end_if_due()

    def check(self) -> Phase:
        """End the search when its time is up, and stop trials that are hopeless."""
        if not self._is_resumed:
            return self
        following = self._end_if_due()
        if following is self:
            self._take_reports(self.in_flight)
        return following

    def take_changes(self) -> None:
        """Apply a raised budget and enqueued trials."""
        if self._is_resumed:
            self._search.take_changes(self.state.job)

    def cancel_tasks(self) -> None:
        """Kill every trial that is under way."""
        super().cancel_tasks()
        self._numbers = {}

    def requeue(self) -> None:
        """Kill every trial; they wait for the next worker."""
        interrupted = list(self._numbers.values())
        self.cancel_tasks()
        for number in interrupted:
            self._search.requeue(number)

    @property
    def _at_once(self) -> int:
        return self.state.job.spec.parallelism or self.state.context.executor.slots

    def _look_ahead(self) -> None:
        """Have trials ready for when the present ones end."""
        if self.state.is_paused:
            return
        # One at a time, each proposal follows from all results before it, also after a pause, a
        # raised budget or a worker's death: a strategy that learns cannot be asked before.
        waits = self.state.job.spec.strategy.learns and self._at_once == 1
        self._search.look_ahead(self.room + (0 if waits else _AHEAD))

    def _take_reports(self, tasks: Collection[Task]) -> None:
        executor = self.state.context.executor
        futures = {self._numbers[task]: task for task in tasks}
        reported = {
            number: [EpochReport(**report) for report in executor.reports(task)]
            for number, task in futures.items()
        }
        reported = {number: reports for number, reports in reported.items() if reports}
        if reported:
            for number in self._search.reported(reported):
                executor.stop(futures[number])

    def _take_result(self, task: Task) -> None:
        self.in_flight.remove(task)
        number = self._numbers.pop(task)
        try:
            self._search.completed(number, task.result())
        except CancelledError:
            self._search.requeue(number)
        except Exception as error:
            self._search.failed(number, failure_of(error))

    def _end_if_due(self) -> Phase:
        """Return the phase that follows the search if its budget is spent."""
        state, search = self.state, self._search
        while (reason := search.stop_reason()) is not None:
            seconds = search.seconds
            if state.held.end_search(reason, seconds, state.job.changes):
                state.job = replace(state.job, stop_reason=reason, seconds=seconds)
                self._drain()
                return Saving(state, search)
            state.job = state.held.job()
            search.take_changes(state.job)
        return self

    def _drain(self) -> None:
        context, search = self.state.context, self._search
        for task, number in self._numbers.items():
            clean_up = partial(context.artifacts.try_delete, search.weights_of(number))
            context.draining.add(self.state.job.id, task, clean_up)
        self.in_flight, self._numbers = [], {}


class Saving(Phase):
    """Export the winner and register it as a version of the model."""

    def __init__(self, state: RunState, search: Search) -> None:
        super().__init__(state)
        self._search = search
        self._version: int | None = None  # reserved for the winner

    def advance(self, done: Collection[Task], slots: int) -> "Phase | None":
        """Return None once the job has succeeded; raises JobFailed where there is no winner."""
        if any(task in done for task in self.in_flight):
            (task,), self.in_flight = self.in_flight, []
            try:
                exported = task.result()
            except Exception as error:
                raise JobFailed(f"The winner could not be saved: {error}") from error
            return self._succeed(self._version, exported)
        if self._version is None:
            best = self._search.best
            if best is None:
                raise JobFailed(self._why_no_winner())
            models, job = self.state.context.models, self.state.job
            version = models.version_of(job.id, best.number)
            if version is not None:
                # A search that went on with a raised budget found nothing better.
                return self._succeed(version, None)
            self._version = models.reserve(job.model, str(job.spec.task), job.id, best.number)
        if slots > 0 and not self.in_flight:
            self._submit(export, self._export_spec(self._version))
        return self

    def discard(self) -> None:
        """Release the reserved version number and remove what was written under it.

        The job must still be held: no other worker can have claimed it.
        """
        if self._version is None:
            return
        model, context = self.state.job.model, self.state.context
        with self.state.held.unit_of_work() as unit:
            if context.models.discard(unit.connection, model, self._version):
                folder = artifact_folder(model, self._version)
                self.state.held.on_commit(partial(context.artifacts.try_delete, folder))
        self._version = None

    def _why_no_winner(self) -> str:
        failure = self._search.last_failure
        why = f" The last failure was {failure}" if failure else ""
        return f"No trial has a score; the search ended by {self.state.job.stop_reason}.{why}"

    def _export_spec(self, version: int) -> ExportSpec:
        best = self._search.best
        assert best is not None
        job = self.state.job
        return ExportSpec(
            model=job.model,
            version=version,
            trial=self._search.spec_of(best),
            result=self.state.held.trial(best.number).stored_result(),
            refit=job.spec.refit,
        )

    def _succeed(self, version: int | None, exported: ExportResult | None) -> "Phase | None":
        publish = None if exported is None else partial(self._publish, exported=exported)
        changes = self.state.job.changes
        with suppress(Conflict):  # paused, cancelled or changed just now: the next look does that
            self.state.held.finish(
                JobState.SUCCEEDED, version=version, changes=changes, publish=publish
            )
            self._search.drop_weights_but_best()
            return None
        return self

    def _publish(self, connection: Connection, exported: ExportResult) -> None:
        """Register the written version as the champion."""
        best, job = self._search.best, self.state.job
        assert best is not None
        assert self._version is not None
        details = asdict(exported)
        files = details.pop("files")
        self.state.context.models.publish(
            connection, job.model, self._version, best.number, files, details
        )
