"""Searches whose oracle works in a thread of its own."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from typing import Any

import pytest

from models.jobs.model import JobState
from models.jobs.search.oracle_thread import InlineExecutor, OracleThread
from models.jobs.search.search import Search
from models.oracles.create import create_oracle
from models.oracles.oracle import Oracle
from models.oracles.strategy import Bayesian, Grid, Hyperband, Random, Strategy
from models.space.schema import load_space
from tests.jobs.steps import Work, manual, next_trial, scored

SPACE = {
    "units": {"type": "choice", "values": [8, 16, 32]},
    "learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1, "sampling": "log"},
}
STRATEGIES = [
    manual(8),
    Grid(points=2),
    Random(),
    Bayesian(num_initial_points=2),
    Hyperband(max_epochs=4, factor=2),
]


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
def begin(begin_work: Callable[..., Work]) -> Callable[..., tuple[Search, Any]]:
    """The search of a new job, whose oracle works in `thread`, and the job."""

    def search(thread: Executor, **spec: Any) -> tuple[Search, Any]:
        work = begin_work(thread=thread, **spec)
        return work.search, work.held

    return search


def test_a_search_does_not_wait_for_its_oracle(begin, thread: ThreadPoolExecutor) -> None:
    may_answer = threading.Event()
    thread.submit(may_answer.wait)
    search, held = begin(thread, strategy=manual(2))
    search.look_ahead(2)
    assert search.next_trial() is None
    assert search.stop_reason() is None
    (answer,) = search.awaited
    assert not answer.done()
    assert search.seconds == 0.0  # nothing is searched before there is an oracle
    may_answer.set()
    wait([answer])
    wait(search.awaited)  # the first was that the oracle is there
    search.look_ahead(2)
    wait(search.awaited)
    search.take_proposals()
    assert [trial.state for trial in held.trials()] == ["waiting", "waiting"]
    assert [next_trial(search).number, next_trial(search).number] == [1, 2]
    assert search.awaited == []


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_one_at_a_time_the_trials_do_not_depend_on_how_slow_the_oracle_is(
    begin, thread: ThreadPoolExecutor, strategy
) -> None:
    plan = {"strategy": strategy, "space": SPACE, "budget": {"max_trials": 8, "epochs": 4}}
    found = []
    for executor, slow in ((InlineExecutor(), False), (thread, False), (thread, True)):
        search, held = begin(executor, **plan)
        drive(search, thread if slow else None)
        held.finish(JobState.SUCCEEDED)
        found.append([(trial.key, trial.values, trial.score) for trial in held.trials()])
    assert len(found[0]) >= 4
    assert found[0] == found[1] == found[2]


def drive(search: Search, slow: ThreadPoolExecutor | None) -> None:
    """Train one trial at a time, and ask for one ahead.

    A `slow` thread answers only after the trial that was running meanwhile has ended.
    """
    spec = None
    while search.stop_reason() is None:
        search.look_ahead(1 + (spec is None))
        if not slow:
            wait(search.awaited)
            search.take_proposals()
        if spec is None:
            spec = search.next_trial()
            if spec is None:
                wait(search.awaited)
        else:
            if slow:
                slow.submit(time.sleep, 0.01)
            values: Mapping[str, Any] = spec.values
            search.completed(spec.number, scored(values["learning_rate"]))
            spec = None


def make(strategy: Strategy, limit: int) -> Callable[[], Oracle]:
    return lambda: create_oracle(strategy, load_space(SPACE, "mlp"), "min", 1, limit, 9)


def test_what_is_on_its_way_is_not_asked_for_again() -> None:
    oracle_thread = OracleThread(make(Random(), 5), InlineExecutor(), {})
    oracle_thread.start()
    oracle_thread.ask_for(2)
    oracle_thread.ask_for(3)
    assert oracle_thread.pending == 3
    assert sum(len(answer.proposals) for answer in oracle_thread.answers()) == 3
    assert oracle_thread.pending == 0
    oracle_thread.ask_for(100)
    assert sum(len(answer.proposals) for answer in oracle_thread.answers()) == 2
    assert oracle_thread.finished
    oracle_thread.ask_for(1)
    assert oracle_thread.awaited == []


def test_an_oracle_that_must_wait_is_asked_again_once_another_score_is_reported() -> None:
    oracle_thread = OracleThread(make(Hyperband(max_epochs=4, factor=2), 100), InlineExecutor(), {})
    oracle_thread.start()
    oracle_thread.ask_for(100)
    first = [p for answer in oracle_thread.answers() for p in answer.proposals]
    assert not oracle_thread.finished
    oracle_thread.ask_for(1)
    assert oracle_thread.pending == 0
    for number, proposal in enumerate(first):
        oracle_thread.tell(proposal.key, float(number))
    oracle_thread.ask_for(1)
    assert [p.parent for answer in oracle_thread.answers() for p in answer.proposals] != []


def test_what_an_oracle_raises_is_raised_by_its_answers() -> None:
    oracle_thread = OracleThread(make(manual(1), 1), InlineExecutor(), {})
    oracle_thread.start()
    oracle_thread.tell("manual-7", 1.0)
    with pytest.raises(Exception, match="manual-7"):
        oracle_thread.answers()
