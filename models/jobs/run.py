"""One job under way in a worker: loading its data, searching, exporting the winner."""

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.library.builtin_loading import BuiltinRequest, store_builtin
from models.errors import Conflict
from models.jobs.forecast_task import ForecastTask
from models.jobs.ledger import Ledger
from models.jobs.lifecycle import JobState
from models.jobs.parts import Parts
from models.jobs.records import Job
from models.jobs.rough_estimate import seconds_by_values
from models.jobs.search import Search
from models.jobs.task_failures import explain
from models.jobs.training import train
from models.jobs.winner import Winner
from models.oracles.strategy import Bayesian
from models.registry.export import export
from models.trials.trainers.base import EpochReport

log = logging.getLogger(__name__)

# Trials that wait for a slot while the oracle is asked for the next. It is a fixed number, so that
# what a proposal is based on does not depend on how fast anything is.
_AHEAD = 1


class JobRun:
    """Drives one claimed job; the worker calls all of it from one thread."""

    def __init__(self, job: Job, parts: Parts) -> None:
        self.job = job
        self.is_over = False
        self._training: dict[Future[Any], int] = {}  # the trials under way
        self._tasks: dict[Future[Any], Callable[[Future[Any]], None]] = {}  # what else is
        self._finishing: Callable[[], None] | None = None  # what waits for the forecast
        self._is_paused = job.state == JobState.PAUSED
        self._parts = parts
        self._ledger = Ledger(parts.database, job.id, parts.owner)
        self._thread = ThreadPoolExecutor(1, "oracle")
        self._search: Search | None = None
        self._winner: Winner | None = None
        self._forecast = ForecastTask(parts, self._ledger)
        self._forecast.take_job(job)
        self._saving_seconds = 0.0

    @property
    def in_flight(self) -> list[Future[Any]]:
        """The tasks under way, in the order in which they were submitted."""
        return [*self._training, *self._tasks]

    @property
    def awaited(self) -> list[Future[Any]]:
        """What `advance` has something to do for once one of it is done.

        Of the oracle's answers only one that could be tried at once; others are taken with the next
        result.
        """
        search = self._search if self._is_searching and self.room else None
        return [*self.in_flight, *(search.awaited if search else ())]

    @property
    def room(self) -> int:
        """How many tasks more it would take, as far as is known before asking it."""
        if self.is_over or self._is_paused:
            return 0
        if self._is_searching:
            return max(0, self._at_once - len(self._training) - len(self._tasks))
        # The winner is saved beside a forecast that is still being made.
        return int(self._tasks.keys() <= {self._forecast.task} and self._finishing is None)

    def advance(self, done: Collection[Future[Any]], slots: int) -> int:
        """Take in the tasks that are `done`, and start up to `slots` new ones; how many were.

        The results of trials and the trials that follow them are written in one transaction.
        """
        for future in done:
            if settle := self._tasks.pop(future, None):
                settle(future)
        started = 0
        if self._begin_search():
            assert self._search is not None
            started = self._search_on(self._search, done, slots)
        if started == 0 and slots > 0 and self._start_task():
            started = 1
        return started

    def check_budget(self) -> None:
        """End the search when its time is up, also while trials are running."""
        if self._search is not None and self._winner is None and not self.is_over:
            self._end_if_due(self._search)

    def take_changes(self) -> None:
        """Take in a raised budget and trials of the user's own, also after the search has ended."""
        had_ended = self.job.stop_reason is not None
        self.job = self._ledger.job()
        self._forecast.take_job(self.job)
        if had_ended:
            self._cancel_tasks()
            self._discard_winner()
            self._search = None
        elif self._search is not None:
            self._search.take_changes(self.job)

    def take_reports(self) -> None:
        """Write down what the running trials have told, and ask the hopeless ones to stop."""
        if self._search is not None and not self.is_over:
            self._take_reports(self._search, self._training)

    def _take_reports(self, search: Search, tasks: Collection[Future[Any]]) -> None:
        executor = self._parts.executor
        futures = {self._training[future]: future for future in tasks if future in self._training}
        told = {
            number: [EpochReport(**report) for report in executor.reports(future)]
            for number, future in futures.items()
        }
        told = {number: reports for number, reports in told.items() if reports}
        if told:
            for number in search.reported(told):
                executor.stop(futures[number])

    def cancel(self) -> None:
        """End every task and the job, as its user asked."""
        self._cancel_tasks()
        self._discard_winner()
        self._ledger.finish(JobState.CANCELLED)
        self._end()

    def fail(self, error: str) -> None:
        """End the job with an error for its user."""
        self._cancel_tasks()
        self._discard_winner()
        with suppress(Conflict):  # paused, cancelled or changed just now: the next look does that
            self._ledger.finish(JobState.FAILED, error=error, changes=self.job.changes)
            self._end()

    def pause(self) -> None:
        """Start nothing more; let the job go once its last task has ended."""
        self._is_paused = True
        if not self.in_flight:
            self._ledger.release(self._seconds)
            self._end()

    def resume(self) -> None:
        """Go on with a job that was resumed before its last task had ended."""
        self._ledger.set_state(JobState.RUNNING)
        self._is_paused = False

    def hand_back(self) -> None:
        """Interrupt the job and let another worker go on from the last committed trial."""
        interrupted = tuple(self._training.values())
        self._cancel_tasks()
        if self._search is not None:
            for number in interrupted:
                self._search.hand_back(number)
        self._ledger.release(self._seconds)
        self._end()

    def abandon(self) -> None:
        """Stop working without writing: the job belongs to another worker now."""
        self._cancel_tasks()
        self._end()

    @property
    def _seconds(self) -> float:
        return self.job.seconds if self._search is None else self._search.seconds

    @property
    def _at_once(self) -> int:
        spec, parts = self.job.spec, self._parts
        # More at once than processes makes packs larger; a strategy that learns would learn less.
        learns = isinstance(spec.strategy, Bayesian)
        return spec.parallelism or (parts.trial_slots if learns else parts.executor.slots)

    @property
    def _is_searching(self) -> bool:
        return self._search is not None and self._winner is None and not self.is_over

    def _begin_search(self) -> bool:
        """Whether there is a search to go on with; made where all is there for one."""
        if self._search is None and not self.is_over and self.job.dataset is not None:
            find = partial(self._parts.datasets.get, self.job.dataset)
            estimate = seconds_by_values(self.job.spec, find)
            artifacts = self._parts.artifacts
            self._search = Search(self.job, self._ledger, artifacts, self._thread, estimate)
            self._forecast.search_begins(self.job)
            if self.job.stop_reason is not None:
                # An earlier worker ended the search and was lost before the winner was saved.
                self._crown(self._search)
        return self._is_searching

    def _search_on(self, search: Search, done: Collection[Future[Any]], slots: int) -> int:
        trained = [future for future in self._training if future in done]
        with self._ledger.batch():
            self._take_reports(search, trained)
            for future in trained:
                if search.stop_reason() is not None:
                    break  # as if it had come too late
                self._take_result(search, future)
                # Asked after each result, so that what a proposal follows does not depend on
                # how many came together.
                self._look_ahead(search)
            self._look_ahead(search)
            # It has a slot of its own: trials need not wait for it where there is another.
            wanted = slots > 0 and search.stop_reason() is None
            begun = int(wanted and self._begin_forecast(search.seconds))
            following = search.next_trials(min(slots - begun, self.room))
        for spec in following:
            future = self._parts.executor.submit(train, spec, self._parts.trial_timeout)
            self._training[future] = spec.number
        self._end_if_due(search)
        return begun + len(following)

    def _look_ahead(self, search: Search) -> None:
        """Have trials ready for when the present ones end."""
        if self._is_paused:
            return
        # One at a time, each proposal follows from all results before it, also after a pause, a
        # raised budget or a worker's death: a strategy that learns cannot be asked before.
        waits = self.job.spec.strategy.learns and self._at_once == 1
        search.look_ahead(self.room + (0 if waits else _AHEAD))

    def _take_result(self, search: Search, future: "Future[Any]") -> None:
        number = self._training.pop(future)
        try:
            search.completed(number, future.result())
        except CancelledError:
            search.hand_back(number)
        except Exception as error:
            search.failed(number, explain(error))

    def _start_task(self) -> bool:
        """Load the dataset or save the winner, where that is what comes next; whether it did."""
        if self.room == 0:
            return False
        if self._winner is not None:
            return self._submit_export(self._winner)
        if self.job.dataset is None:
            return self._submit_loading(self.job.spec.dataset.removeprefix(BUILTIN_PREFIX))
        return False

    def _submit_loading(self, name: str) -> bool:
        known = self._parts.datasets.find_builtin(name)
        if known is not None:
            self._use_dataset(known.id)
            return self.advance((), 1) > 0

        def on_loaded(future: "Future[Any]") -> None:
            try:
                stored = future.result()
            except Exception as error:
                self.fail(f"The dataset could not be loaded: {error}")
                return
            record = self._parts.datasets.add(
                stored.id, stored.rows, stored.columns, f"{BUILTIN_PREFIX}{name}", name
            )
            self._use_dataset(record.id)

        wanted = BuiltinRequest(name, self._parts.artifacts.root)
        self._submit(store_builtin, wanted, self._parts.trial_timeout, on_loaded)
        return True

    def _begin_forecast(self, searched: float) -> bool:
        """Submit the forecast, if its time has come; whether it did."""
        task = self._forecast.begin(self.job, searched) if self.room else None
        if task is None:
            return False

        def on_made(future: "Future[Any]") -> None:
            self._forecast.take_result(self.job, future)
            if self._finishing is not None:
                self._finishing()

        self._tasks[task] = on_made
        return True

    def _use_dataset(self, dataset: str) -> None:
        self._ledger.set_dataset(dataset)
        self.job = replace(self.job, dataset=dataset)

    def _end_if_due(self, search: Search) -> bool:
        """End the search if its budget is spent; whether it has ended."""
        if self._winner is not None or self.is_over:
            return True
        reason = search.stop_reason()
        if reason is None:
            return False
        seconds = search.seconds
        if not self._ledger.end_search(reason, seconds, self.job.changes):
            self.take_changes()
            return self._end_if_due(search)
        self.job = replace(self.job, stop_reason=reason, seconds=seconds)
        for future, number in self._training.items():
            forget = partial(self._parts.artifacts.delete, search.weights_of(search.trial(number)))
            self._parts.stragglers.add(self.job.id, future, forget)
        self._training.clear()
        self._crown(search)
        return True

    def _crown(self, search: Search) -> None:
        """The search has ended: register its best trial, or say why there is none."""
        best = search.best
        if best is None:
            failure = search.last_failure
            why = f" The last failure was {failure}" if failure else ""
            self.fail(f"No trial has a score; the search ended by {self.job.stop_reason}.{why}")
            return
        version = self._parts.models.version_of(self.job.id, best.number)
        if version is not None:
            # A search that went on with a raised budget found nothing better.
            self._finish(search, version)
            return
        self._winner = Winner(
            self.job,
            self._ledger.trial(best.number),
            search.spec_of(best),
            self._parts.models,
            self._parts.artifacts,
        )

    def _submit_export(self, winner: Winner) -> bool:
        started = time.monotonic()

        def on_exported(future: "Future[Any]") -> None:
            self._saving_seconds = time.monotonic() - started
            try:
                exported = future.result()
            except Exception as error:
                self.fail(f"The winner could not be saved: {error}")
                return
            assert self._search is not None
            publish = partial(winner.publish, exported=exported)
            self._finish(self._search, winner.version, publish)

        self._submit(export, winner.export_spec(), self._parts.trial_timeout, on_exported)
        return True

    def _finish(
        self,
        search: Search,
        version: int,
        publish: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        if self._forecast.is_awaited(self.job):
            self._finishing = partial(self._finish, search, version, publish)
            return
        self._finishing = None
        actual = self._forecast.actual(self.job, search, version, self._saving_seconds)
        with suppress(Conflict):  # paused, cancelled or changed just now: the next look does that
            with self._ledger.transaction() as connection:
                publish(connection)
                self._ledger.finish(
                    JobState.SUCCEEDED,
                    version=version,
                    changes=self.job.changes,
                    actual=asdict(actual),
                    connection=connection,
                )
            self._end()
            search.drop_weights_but_best()

    def _discard_winner(self) -> None:
        if self._winner is not None:
            with self._ledger.transaction() as connection:
                self._winner.discard(connection)
            self._winner = None

    def _submit(
        self,
        function: Callable[[Any], Any],
        payload: Any,
        timeout: float | None,
        settle: Callable[[Future[Any]], None],
    ) -> None:
        self._tasks[self._parts.executor.submit(function, payload, timeout)] = settle

    def _cancel_tasks(self) -> None:
        for future in self.in_flight:
            self._parts.executor.cancel(future)
        self._parts.stragglers.end(self.job.id)
        self._tasks.clear()
        self._training.clear()
        self._forecast.task = self._finishing = None

    def _end(self) -> None:
        self.is_over = True
        for future in self._tasks:  # its forecast, if nobody waits for that
            self._parts.stragglers.add(self.job.id, future, lambda: None)
        self._tasks.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)
