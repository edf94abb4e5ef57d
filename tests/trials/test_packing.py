"""Trials handed to processes in packs."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.executors.executor import TaskLost
from models.executors.reporting import Channel, Listener, run_task
from models.jobs.packing import PackingExecutor
from models.jobs.training import train
from models.trials.spec import TrialResult, TrialSpec
from models.trials.trainers.choice import prefer
from tests.waiting import wait_until

DEADLY = 0.666  # a learning rate that ends the process
PATIENCE = 60


class OneThread:
    """An executor whose only process is a thread of this one; `gate` holds its tasks back."""

    slots = 1

    def __init__(self, folder: Path) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.tasks: list[tuple[list[float], float | None]] = []  # rates of the trials, timeout
        self.cancelled = 0
        self._pool = ThreadPoolExecutor(1)
        self._folder = folder
        self._listeners: dict[Future[Any], Listener] = {}

    def submit(self, function: Callable[[Any], Any], payload: Any, timeout: float | None) -> Any:
        listener = Listener(Channel(str(self._folder / str(len(self._listeners)))))

        ended = threading.Event()

        def run() -> Any:
            wait_until(lambda: self.gate.is_set() or ended.is_set(), PATIENCE, every=0.01)
            if ended.is_set():
                raise CancelledError
            if DEADLY in rates:
                raise TaskLost("Its process died.")
            return run_task(listener.channel, function, payload)

        rates = [spec.values["learning_rate"] for spec in payload] if timeout else []
        self.tasks.append((rates, timeout))
        future = self._pool.submit(run)
        future.ended = ended
        self._listeners[future] = listener
        return future

    def cancel(self, future: "Future[Any]") -> None:
        self.cancelled += 1
        future.ended.set()
        future.cancel()

    def reports(self, future: "Future[Any]") -> list[Any]:
        return self._listeners[future].read()

    def stop(self, future: "Future[Any]", part: int = 0) -> None:
        self._listeners[future].channel.stop(part).touch()

    def close(self) -> None:
        self.gate.set()
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture
def inner(tmp_path: Path) -> OneThread:
    folder = tmp_path / "tasks"
    folder.mkdir()
    return OneThread(folder)


@pytest.fixture
def packing(inner: OneThread) -> Iterator[PackingExecutor]:
    prefer("pack")
    executor = PackingExecutor(inner)
    yield executor
    executor.close()
    prefer("auto")


@pytest.fixture
def specs(line, trial) -> Callable[..., list[TrialSpec]]:
    """Trials of a linear model, one a learning rate."""

    def make(*rates: float, **values: Any) -> list[TrialSpec]:
        made = [trial(line, {"learning_rate": rate, **values}) for rate in rates]
        return [replace(spec, weights=f"jobs/job_1/trials/{id(spec)}") for spec in made]

    return make


@pytest.fixture
def busy(packing, inner, specs) -> "list[Future[TrialResult]]":
    """A trial that is under way until the gate opens, so that what is submitted meanwhile waits."""
    inner.gate.clear()
    first = submit(packing, specs(0.5))
    wait_until(lambda: inner.tasks)
    return first


def submit(executor: PackingExecutor, specs: list[TrialSpec]) -> list["Future[TrialResult]"]:
    return [executor.submit(train, spec, 10.0) for spec in specs]


def scores(futures: list["Future[TrialResult]"]) -> list[float]:
    results = [future.result(PATIENCE) for future in futures]
    assert {result.trainer for result in results} == {"pack"}
    return [result.score for result in results]


def test_trials_are_trained_at_once_and_answer_apart(packing, inner, specs, busy) -> None:
    futures = submit(packing, specs(0.1, 0.01, 0.001))
    inner.gate.set()
    assert len(set(scores(busy + futures))) == 4
    assert inner.tasks == [([0.5], 10.0), ([0.1, 0.01, 0.001], 30.0)]
    told = [packing.reports(future) for future in futures]
    assert [[report["epoch"] for report in each] for each in told] == [[1, 2, 3]] * 3
    assert told[0][0]["logs"] != told[1][0]["logs"]
    assert packing.reports(futures[0]) == []


def test_the_largest_pack_of_those_that_wait_goes_first(packing, inner, specs, busy) -> None:
    few = submit(packing, specs(0.1, batch_size=8))
    many = submit(packing, specs(0.2, 0.3))
    other = submit(packing, specs(0.4, optimizer="adam"))
    inner.gate.set()
    scores(busy + few + many + other)
    assert [rates for rates, _ in inner.tasks] == [[0.5], [0.2, 0.3], [0.1], [0.4]]


def test_other_tasks_pass_through(packing, inner) -> None:
    assert packing.submit(abs, -3, None).result(PATIENCE) == 3
    [image] = [packing.submit(len, "four", None)]
    assert image.result(PATIENCE) == 4
    assert packing.reports(image) == []
    packing.stop(image)
    packing.cancel(image)
    assert inner.cancelled == 1


def test_a_lost_pack_is_halved_until_only_the_cause_fails(packing, inner, specs, busy) -> None:
    futures = submit(packing, specs(0.1, DEADLY, 0.01, 0.001))
    inner.gate.set()
    scores([futures[0], *futures[2:]])
    with pytest.raises(TaskLost):
        futures[1].result(PATIENCE)
    assert [len(rates) for rates, _ in inner.tasks] == [1, 4, 2, 2, 1, 1]


def test_one_trial_of_a_pack_is_stopped(packing, inner, specs, busy) -> None:
    futures = submit(packing, specs(0.1, 0.01))
    # One is asked while it waits, the other while it trains.
    packing.stop(futures[1])
    packing.stop(busy[0])
    inner.gate.set()
    stopped = [future.result(PATIENCE).stopped for future in (*busy, *futures)]
    assert stopped == [True, False, True]


def test_a_pack_ends_with_the_last_of_its_trials(packing, inner, specs, busy) -> None:
    running = submit(packing, specs(0.1, 0.01))
    packing.cancel(busy[0])
    wait_until(lambda: len(inner.tasks) == 2)
    waiting = submit(packing, specs(0.001))
    for future in (*waiting, running[0]):
        packing.cancel(future)
        with pytest.raises(CancelledError):
            future.result(PATIENCE)
    # The other trial goes on, and whoever waits for those that were cancelled is told.
    assert inner.cancelled == 1
    assert len(wait([*waiting, *running], 0).done) == 2
    packing.cancel(running[1])
    assert inner.cancelled == 2
    inner.gate.set()
    assert scores(submit(packing, specs(0.3)))


def test_closing_cancels_what_waits(packing, specs, busy) -> None:
    [waiting] = submit(packing, specs(0.1))
    packing.close()
    assert waiting.cancelled()
