"""The first two phases: load the dataset, then search."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from models.data.library.builtin import PREFIX as BUILTIN_PREFIX
from models.data.library.builtin_loading import BuiltinRequest, store_builtin
from models.errors import NotFound, Unavailable
from models.executors.executor import TaskLost
from models.jobs.model import TrialState
from models.jobs.search.search import Search
from models.jobs.store.unit_of_work import OPEN
from models.jobs.worker.phases import JobFailed, Phase, RunState, Task
from models.jobs.worker.saving import Saving
from models.jobs.worker.tasks import failure_of, train
from models.trials.trainers.base import EpochReport

# Trials that wait for a slot while the oracle is asked for the next. It is a fixed number, so that
# what a proposal is based on does not depend on how fast anything is.
_AHEAD = 1

EPOCHS_WAITED = 2  # epochs of its own in which a trial has to stop at least; they may take minutes


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


@dataclass(slots=True)
class Training:
    """A trial under way."""

    number: int
    began: float = field(default_factory=time.monotonic)
    epochs: int = 0  # reported, of all its runs
    deadline: float | None = None  # by the monotonic clock, once it was asked to stop

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def patience(self, least: float) -> float:
        """Return the seconds in which it should end with its score after it was asked to stop."""
        return max(least, EPOCHS_WAITED * self.seconds / max(1, self.epochs))


class Searching(Phase):
    """Train the trials that the search proposes, until its budget is spent or its user ends it.

    Trials that run at the end are asked to stop, and scored from their best epoch. A trial without
    an epoch is cut off, as is one that does not stop in time, and every one if the target is
    reached. `stop_reason` is stored before the wait: a worker that takes the job over meanwhile
    goes on with the best of the scored trials.
    """

    def __init__(self, state: RunState, adopted: Mapping[Task, Training] | None = None) -> None:
        """`adopted` holds the trials that train already, in a run that goes on.

        None stands for a run that begins: trials that are stored as running were then lost.
        """
        super().__init__(state)
        self._goes_on = adopted is not None
        self._training = dict(adopted or {})
        self.in_flight = list(self._training)
        self._reports: dict[int, list[EpochReport]] = {}  # read, and not recorded yet
        self._search = Search(state.job, state.held, state.context.artifacts, state.thread)
        self._is_resumed = False
        self._is_closed = False  # whether the end is stored, and what waited is cut off

    @property
    def seconds(self) -> float:
        """Seconds searched so far, by every worker that held the job."""
        return self._search.seconds

    @property
    def room(self) -> int:
        """The number of further trials that may run at once."""
        if self.state.is_paused or self._has_ended or not self.retries.is_due:
            return 0
        return max(0, self._at_once - len(self.in_flight))

    @property
    def awaited(self) -> list[Task]:
        """The tasks, and the oracle's answer where a trial could start at once."""
        return [*self.in_flight, *(self._search.awaited if self.room else ())]

    @property
    def running(self) -> list[int]:
        """The numbers of the trials under way."""
        return [training.number for training in self._training.values()]

    @property
    def stopping(self) -> list[Task]:
        """The trials that were asked to stop so that they get a score."""
        return [task for task, training in self._training.items() if training.deadline is not None]

    @property
    def _has_ended(self) -> bool:
        return self.state.job.stop_reason is not None

    def advance(self, done: Collection[Task], slots: int) -> Phase:
        """Record results and start the trials that follow them, in one transaction."""
        if not self._is_resumed:
            self._resume()
        if not self._has_ended:
            self._go_on(done, slots)
        return self._wind_up() if self._is_closed else self._end_if_due()

    def _go_on(self, done: Collection[Task], slots: int) -> None:
        search, ended = self._search, [task for task in self.in_flight if task in done]
        with self._batch():
            self._record_reports(ended)
            for task in ended:
                if search.stop_reason() is not None:
                    break  # it is taken as one that is asked to stop
                self._take_result(task)
                # Asked after each result, so that what a proposal follows does not depend on
                # how many came together.
                self._look_ahead()
            self._look_ahead()
            following = search.next_trials(min(slots, self.room))
        for spec in following:
            self._training[self._submit(train, spec)] = Training(spec.number)

    def check(self) -> Phase:
        """End the search when its time is up, and stop trials that are hopeless."""
        if not self._is_resumed:
            # A run that goes on may have no room, and then nothing to `advance` for.
            self._resume()
        following = self._wind_up() if self._is_closed else self._end_if_due()
        if not self._is_closed:
            with self._batch():
                self._record_reports(self.in_flight)
        return following

    def recovered(self) -> Phase:
        """Return a search made anew from what is stored; its trials train on."""
        state = self.state
        state.job = replace(state.held.job(), seconds=self.seconds)
        again = Searching(state, self._training if self._is_resumed or self._goes_on else None)
        again._reports, again.retries = self._reports, self.retries
        return again

    def take_changes(self) -> Phase:
        """Apply another budget, enqueued and discarded trials, and the wish to end the search."""
        if not self._is_resumed or (self._is_closed and not self._has_ended):
            return self.recovered()
        self._search.take_changes(self.state.job, self.running)
        self._keep(self._search.running)
        return self

    def prepare_exit(self) -> None:
        """Ask the trials to stop that have trained for longer than the job's time has left.

        No other worker could train them anew.
        """
        limit = self.state.job.spec.budget.max_seconds
        if self._is_resumed and limit is not None:
            for task, training in self._training.items():
                if training.epochs and limit - self.seconds < training.seconds:
                    self._ask_to_stop(task)

    def cancel_tasks(self) -> None:
        """Kill every trial that is under way."""
        super().cancel_tasks()
        self._training = {}

    def _resume(self) -> None:
        if self._goes_on:
            self._search.resume(self.running)
            self._keep(self._search.running)
        else:
            self._search.resume()
        self._is_resumed, self._is_closed = True, self._has_ended

    def _keep(self, running: Collection[int]) -> None:
        """Go on with the tasks whose trials are stored as running; the others have ended."""
        for task, training in list(self._training.items()):
            if training.number not in running:
                self.state.context.executor.cancel(task)
                del self._training[task]
                self._reports.pop(training.number, None)
        self.in_flight = list(self._training)

    @contextmanager
    def _batch(self) -> Iterator[None]:
        """Record in one transaction what is known of trials; after an exception nothing of it."""
        before = dict(self._training)
        try:
            with self.state.held.batch():
                yield
        except BaseException:
            self._training, self.in_flight = before, list(before)
            raise
        self._reports = {}

    @property
    def _at_once(self) -> int:
        return self.state.job.spec.parallelism or self.state.context.executor.slots

    def _look_ahead(self) -> None:
        """Have trials ready for when the present ones end."""
        if self.state.is_paused:
            return
        # One at a time, each proposal follows from all results before it, also after a pause,
        # another budget or a worker's death: a strategy that learns cannot be asked before.
        waits = self.state.job.spec.strategy.learns and self._at_once == 1
        self._search.look_ahead(self.room + (0 if waits else _AHEAD))

    def _record_reports(self, tasks: Iterable[Task]) -> None:
        """Record what trials reported, and stop those that are hopeless."""
        executor = self.state.context.executor
        for task in tasks:
            if reports := [EpochReport(**report) for report in executor.reports(task)]:
                training = self._training[task]
                training.epochs += len(reports)
                self._reports.setdefault(training.number, []).extend(reports)
        if self._reports:
            hopeless = self._search.reported(self._reports)
            for task, training in self._training.items():
                if training.number in hopeless:
                    executor.stop(task)

    def _take_result(self, task: Task) -> None:
        """Record how a trial ended; if interrupted, it waits again while the search goes on."""
        self.in_flight.remove(task)
        number = self._training.pop(task).number
        interrupted = self._search.cut_off if self._has_ended else self._search.requeue
        try:
            result = task.result()
        except CancelledError:
            interrupted(number)
        except Unavailable as error:
            self.retries.allow(error)
            interrupted(number)
        except Exception as error:
            if self._has_ended and isinstance(error, TaskLost):
                interrupted(number)
            else:
                self._search.failed(number, failure_of(error))
        else:
            self.retries.succeeded()
            self._search.completed(number, result)

    def _end_if_due(self) -> Phase:
        """Return the phase that follows if the search has ended."""
        state, search = self.state, self._search
        while (reason := state.job.stop_reason or search.stop_reason()) is not None:
            # With the target reached, the others' scores are not needed.
            cut_off = OPEN if reason == "target" else (TrialState.WAITING,)
            if state.held.end_search(reason, self.seconds, state.job.changes, cut_off):
                state.job = replace(state.job, stop_reason=reason)
                self._is_closed = True
                if reason == "target":
                    self._drain(self._training)
                return self._wind_up()
            state.job = state.held.job()
            self.take_changes()
        return self

    def _wind_up(self) -> Phase:
        """Collect the scores of the trials that run at the end; then the winner is saved."""
        with self._batch():
            self._record_reports(self.in_flight)
            for task in [task for task in self.in_flight if task.done()]:
                self._take_result(task)
        late = []
        for task, training in self._training.items():
            if training.epochs:
                self._ask_to_stop(task)
            if training.deadline is None or time.monotonic() >= training.deadline:
                late.append(task)
        if late:
            with self.state.held.batch():
                for task in late:
                    self._search.cut_off(self._training[task].number)
            self._drain(late)
        if self._training:
            return self
        self.state.job = replace(self.state.job, seconds=self.seconds)
        return Saving(self.state, self._search)

    def _ask_to_stop(self, task: Task) -> None:
        training = self._training[task]
        if training.deadline is None:
            context = self.state.context
            training.deadline = time.monotonic() + training.patience(context.stop_seconds)
            context.executor.stop(task)

    def _drain(self, tasks: Collection[Task]) -> None:
        """End tasks whose results are not wanted."""
        context, search = self.state.context, self._search
        for task in list(tasks):
            number = self._training.pop(task).number
            clean_up = partial(context.artifacts.try_delete, search.weights_of(number))
            context.draining.add(self.state.job.id, task, clean_up)
        self.in_flight = list(self._training)
