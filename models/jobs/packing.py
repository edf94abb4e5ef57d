"""Trials in packs: what a worker needs where one process can train many trials at once."""

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any

from models.executors.executor import (
    Executor,
    Payload,
    Result,
    TaskLost,
    TaskOutOfMemory,
    TaskTimedOut,
)
from models.jobs.training import train, train_together
from models.networks.values import value
from models.trials.packs.structure import Structure
from models.trials.spec import TrialResult, TrialSpec

# Trials under way at once, in packs or waiting for one.
TRIALS = 256
# Packs in training at once: while one keeps the GPU busy, the other prepares its next epoch.
PACKS = 2
# Seconds that the first trial waits for others to be submitted.
GATHER_SECONDS = 0.1

# What one trial may have brought on all of its pack.
_SHARED = (TaskLost, TaskOutOfMemory, TaskTimedOut)


class PackingExecutor:
    """Submits trials to another executor in packs of equal structure; other tasks pass through.

    Whenever there is room for a pack, the largest that the waiting trials make goes. Each trial
    has its own future, reports and end. A pack that is lost, times out or outgrows its memory is
    halved and tried again, down to single trials, so that only the cause of it fails.
    """

    def __init__(self, executor: Executor) -> None:
        self.slots = TRIALS
        self._executor = executor
        self._at_once = min(PACKS, executor.slots)
        self._waiting: list[_Trial] = []
        self._packs: dict[Future[Any], Sequence[_Trial]] = {}  # by their task
        self._is_gathering = False
        self._is_closed = False
        # Tasks end in other threads, and some in this one while they are being submitted.
        self._lock = threading.RLock()

    def submit(
        self, function: Callable[[Payload], Result], payload: Payload, timeout: float | None
    ) -> "Future[Result]":
        """Start `function(payload)`; a trial may wait for others to make a pack with."""
        if function is not train or not isinstance(payload, TrialSpec):
            return self._executor.submit(function, payload, timeout)
        trial = _Trial(payload, timeout)
        with self._lock:
            self._waiting.append(trial)
            if not self._is_gathering:
                self._is_gathering = True
                timer = threading.Timer(GATHER_SECONDS, self._end_gathering)
                timer.daemon = True
                timer.start()
        future: Future[Any] = trial
        return future

    def cancel(self, future: "Future[Result]") -> None:
        """End the task now; a trial in a pack is given up, and its process with the last of it."""
        if not isinstance(future, _Trial):
            self._executor.cancel(future)
            return
        with self._lock:
            _cancel(future)
            if future in self._waiting:
                self._waiting.remove(future)
            for task, trials in list(self._packs.items()):
                if future in trials and all(trial.done() for trial in trials):
                    self._executor.cancel(task)

    def reports(self, future: "Future[Any]") -> list[Any]:
        """What the task has told since the last call."""
        if not isinstance(future, _Trial):
            return self._executor.reports(future)
        with self._lock:
            for task, trials in self._packs.items():
                if future in trials:
                    self._hear(task, trials)
            told, future.told = future.told, []
            return told

    def stop(self, future: "Future[Any]", part: int = 0) -> None:
        """Ask the task, or that one trial of its pack, to end early with a result."""
        if not isinstance(future, _Trial):
            self._executor.stop(future, part)
            return
        with self._lock:
            future.is_unwanted = True
            for task, trials in self._packs.items():
                if future in trials:
                    self._executor.stop(task, trials.index(future))

    def close(self) -> None:
        """End every process, and cancel every trial."""
        with self._lock:
            self._is_closed = True
            waiting, self._waiting = self._waiting, []
        self._executor.close()
        for trial in waiting:
            _cancel(trial)

    def _end_gathering(self) -> None:
        with self._lock:
            self._is_gathering = False
            self._start_packs()

    def _start_packs(self) -> None:
        while self._waiting and len(self._packs) < self._at_once and not self._is_closed:
            pack = largest_pack(self._waiting)
            self._waiting = [trial for trial in self._waiting if trial not in pack]
            self._submit(pack)

    def _submit(self, trials: "Sequence[_Trial]") -> None:
        limits = [trial.timeout for trial in trials if trial.timeout is not None]
        timeout = sum(limits) if len(limits) == len(trials) else None
        specs = [trial.spec for trial in trials]
        task = self._executor.submit(train_together, specs, timeout)
        self._packs[task] = trials
        for part, trial in enumerate(trials):
            if trial.is_unwanted:
                self._executor.stop(task, part)
        task.add_done_callback(self._settle)

    def _settle(self, task: "Future[list[TrialResult]]") -> None:
        with self._lock:
            trials = self._packs[task]
            self._hear(task, trials)
            del self._packs[task]
            error = CancelledError() if task.cancelled() else task.exception()
            if isinstance(error, _SHARED) and len(trials) > 1 and not self._is_closed:
                self._halve(trials)
            elif error is not None:
                for trial in trials:
                    _fail(trial, error)
            else:
                for trial, result in zip(trials, task.result(), strict=True):
                    if not trial.done():
                        trial.set_result(result)
            self._start_packs()

    def _halve(self, trials: "Sequence[_Trial]") -> None:
        half = len(trials) // 2
        for part in (trials[:half], trials[half:]):
            alive = [trial for trial in part if not trial.done()]
            if alive:
                self._submit(alive)

    def _hear(self, task: "Future[Any]", trials: "Sequence[_Trial]") -> None:
        for part, report in self._executor.reports(task):
            trials[part].hear(report)


class _Trial(Future[TrialResult]):
    """A trial on its way."""

    def __init__(self, spec: TrialSpec, timeout: float | None) -> None:
        super().__init__()
        self.spec = spec
        self.timeout = timeout
        self.told: list[dict[str, Any]] = []
        self.is_unwanted = False
        self._epochs: dict[tuple[int, int], int] = {}  # told so far, by fold and execution

    def hear(self, report: dict[str, Any]) -> None:
        """Keep an epoch, unless it was told before its pack was halved."""
        run = report["fold"], report["execution"]
        if report["epoch"] > self._epochs.get(run, 0):
            self._epochs[run] = report["epoch"]
            self.told.append(report)


def largest_pack(waiting: Sequence[_Trial]) -> list[_Trial]:
    """Most of the trials that can be trained at once, the earliest of equally many."""
    packs: dict[Hashable, list[_Trial]] = {}
    for number, trial in enumerate(waiting):
        packs.setdefault(_kind(trial.spec, number), []).append(trial)
    return max(packs.values(), key=len)


def _kind(spec: TrialSpec, number: int) -> Hashable:
    """Equal for trials that can be trained at once; one of its own for what no pack takes."""
    if spec.network != "mlp":
        return number
    structure = Structure.of(spec.values, spec.data.task)
    return spec.job, spec.data, structure, value(spec.values, "batch_size")


def _cancel(trial: _Trial) -> None:
    if not trial.done() and trial.cancel():
        trial.set_running_or_notify_cancel()


def _fail(trial: _Trial, error: BaseException) -> None:
    if isinstance(error, CancelledError):
        _cancel(trial)
    elif not trial.done():
        trial.set_exception(error)
