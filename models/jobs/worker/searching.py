"""The first two phases: load the dataset, then search."""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial

from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.library.builtin_loading import BuiltinRequest, store_builtin
from models.errors import NotFound, Unavailable
from models.jobs.search.search import Search
from models.jobs.worker.phases import JobFailed, Phase, RunState, Task
from models.jobs.worker.saving import Saving
from models.jobs.worker.tasks import failure_of, train
from models.trials.trainers.base import EpochReport

# Trials that wait for a slot while the oracle is asked for the next. It is a fixed number, so that
# what a proposal is based on does not depend on how fast anything is.
_AHEAD = 1


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
                if not self.retries.allow(error):
                    raise JobFailed(f"The dataset could not be loaded: {error}") from error
                return self
            source = f"{BUILTIN_PREFIX}{name}"
            record = datasets.add(
                stored.id, stored.rows, stored.columns, source, name, size=stored.bytes
            )
            return self._use(record.id)
        known = datasets.find_builtin(name)
        if known is not None:
            return self._use(known.id)
        if slots > 0 and self.room:
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

    def __init__(self, state: RunState, adopted: Mapping[Task, int] | None = None) -> None:
        """`adopted` holds the trials that train already, with their numbers, in a run that goes on.

        None stands for a run that begins: trials that are stored as running were then lost.
        """
        super().__init__(state)
        self._goes_on = adopted is not None
        self._numbers = dict(adopted or {})  # of the trials under way
        self.in_flight = list(self._numbers)
        self._reports: dict[int, list[EpochReport]] = {}  # read, and not recorded yet
        self._search = Search(state.job, state.held, state.context.artifacts, state.thread)
        self._is_resumed = False

    @property
    def seconds(self) -> float:
        """Seconds searched so far, by every worker that held the job."""
        return self._search.seconds

    @property
    def room(self) -> int:
        """The number of further trials that may run at once."""
        if self.state.is_paused or not self.retries.is_due:
            return 0
        return max(0, self._at_once - len(self.in_flight))

    @property
    def awaited(self) -> list[Task]:
        """The tasks, and the oracle's answer where a trial could start at once."""
        return [*self.in_flight, *(self._search.awaited if self.room else ())]

    @property
    def running(self) -> list[int]:
        """The numbers of the trials under way."""
        return list(self._numbers.values())

    def advance(self, done: Collection[Task], slots: int) -> Phase:
        """Record results and start the trials that follow them, in one transaction."""
        if not self._is_resumed:
            self._resume()
            if self.state.job.stop_reason is not None:
                # An earlier worker ended the search and died before the winner was saved.
                return Saving(self.state, self._search)
        search, ended = self._search, [task for task in self.in_flight if task in done]
        before = dict(self._numbers)
        try:
            with self.state.held.batch():
                self._record_reports(ended)
                for task in ended:
                    if search.stop_reason() is not None:
                        break  # as if it had come too late
                    self._take_result(task)
                    # Asked after each result, so that what a proposal follows does not depend on
                    # how many came together.
                    self._look_ahead()
                self._look_ahead()
                following = search.next_trials(min(slots, self.room))
        except BaseException:
            self._numbers, self.in_flight = before, list(before)
            raise
        self._reports = {}
        for spec in following:
            self._numbers[self._submit(train, spec)] = spec.number
        return self._end_if_due()

    def check(self) -> Phase:
        """End the search when its time is up, and stop trials that are hopeless."""
        if not self._is_resumed:
            return self
        following = self._end_if_due()
        if following is self:
            self._record_reports(self.in_flight)
            self._reports = {}
        return following

    def recovered(self) -> Phase:
        """Return a search made anew from what is stored; its trials train on."""
        state = self.state
        state.job = replace(state.held.job(), seconds=self.seconds)
        again = Searching(state, self._numbers if self._is_resumed or self._goes_on else None)
        again._reports, again.retries = self._reports, self.retries
        return again

    def take_changes(self) -> None:
        """Apply a raised budget and enqueued trials."""
        if self._is_resumed:
            self._search.take_changes(self.state.job)

    def cancel_tasks(self) -> None:
        """Kill every trial that is under way."""
        super().cancel_tasks()
        self._numbers = {}

    def _resume(self) -> None:
        if self._goes_on:
            self._search.resume(self._numbers.values())
            self._keep(self._search.running)
        else:
            self._search.resume()
        self._is_resumed = True

    def _keep(self, running: Collection[int]) -> None:
        """Go on with the tasks whose trials are stored as running; the others have ended."""
        for task, number in list(self._numbers.items()):
            if number not in running:
                self.state.context.executor.cancel(task)
                del self._numbers[task]
                self._reports.pop(number, None)
        self.in_flight = list(self._numbers)

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

    def _record_reports(self, tasks: Iterable[Task]) -> None:
        """Record what trials reported, and stop those that are hopeless."""
        executor = self.state.context.executor
        for task in tasks:
            if reports := [EpochReport(**report) for report in executor.reports(task)]:
                self._reports.setdefault(self._numbers[task], []).extend(reports)
        if self._reports:
            hopeless = self._search.reported(self._reports)
            for task, number in self._numbers.items():
                if number in hopeless:
                    executor.stop(task)

    def _take_result(self, task: Task) -> None:
        """Record how a trial ended; one that storage kept from ending waits again."""
        self.in_flight.remove(task)
        number = self._numbers.pop(task)
        try:
            result = task.result()
        except CancelledError:
            self._search.requeue(number)
        except Unavailable as error:
            self.retries.allow(error)
            self._search.requeue(number)
        except Exception as error:
            self._search.failed(number, failure_of(error))
        else:
            self.retries.succeeded()
            self._search.completed(number, result)

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
