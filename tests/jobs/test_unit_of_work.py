"""Changes that share a transaction, and what becomes of trials when a job is released."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import event, update

from models.jobs.model import TrialState
from models.jobs.reader import JobReader
from models.jobs.search.search import Search
from models.jobs.store.events import EventFeed
from models.jobs.store.held_job import HeldJob
from models.oracles.strategy import Random
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import jobs
from tests.jobs.steps import manual, next_trial, present, propose, scored


@pytest.fixture
def commits(database: Database) -> list[Any]:
    """Grows with each transaction that is kept."""
    seen: list[Any] = []
    event.listen(database.engine, "commit", seen.append)
    return seen


@pytest.fixture
def held(queued, claim) -> HeldJob:
    queued()
    return claim()[1]


def test_a_batch_is_one_transaction_with_its_events_in_order(
    held: HeldJob, database: Database, reader: JobReader, commits: list[Any]
) -> None:
    propose(held, 2)
    held.start(1)
    before = len(commits)
    with held.batch():
        held.complete(1, scored(0.5), {"a": 1}, 4.0)
        held.start(2)
        assert held.trial(1).score == 0.5
        assert propose(held, 1) == [3]
    assert len(commits) == before + 1
    (shown,) = reader.page(2)
    job = reader.get(shown.id)
    assert (job.oracle_state, job.seconds) == ({}, 4.0)
    reported = [e.data for e in EventFeed(database).after(job.id, 0).events if e.kind == "trial"]
    assert [(data["trial"], data["state"]) for data in reported[-3:]] == [
        (1, "completed"),
        (2, "running"),
        (3, "waiting"),
    ]


def test_of_a_batch_that_fails_nothing_is_kept_and_nothing_done(
    held: HeldJob, reader: JobReader, database: Database
) -> None:
    propose(held, 2)
    held.start(1)
    (job,) = reader.page(2)
    feed = EventFeed(database)
    before = held.trials(), held.job(), feed.after(job.id, 0)
    done: list[str] = []
    with suppress(RuntimeError), held.batch():
        held.complete(1, scored(0.5), {"a": 1}, 4.0)
        held.on_commit(lambda: done.append("dropped"))
        raise RuntimeError
    assert (held.trials(), held.job(), feed.after(job.id, 0)) == before
    with held.batch():
        held.start(2)
        held.on_commit(lambda: done.append("kept"))
        assert done == []
    assert done == ["kept"]


def test_a_batch_in_which_nothing_happens_is_no_transaction(
    held: HeldJob, commits: list[Any]
) -> None:
    with held.batch():
        pass
    assert commits == []


def test_the_weights_of_the_former_best_lie_there_until_the_new_best_is_kept(
    queued, claim, reader: JobReader, artifacts: Artifacts
) -> None:
    queued(strategy=manual(2))
    job, held = claim()
    held.set_dataset("ds_1")
    search = Search(reader.get(job.id), held, artifacts)
    search.resume()
    first, second = next_trial(search), next_trial(search)
    for spec in (first, second):
        artifacts.write(f"{spec.weights}/weights-0-0.npz", b"x")
    search.completed(1, scored(0.5))
    with suppress(RuntimeError), held.batch():
        search.completed(2, scored(0.1))
        raise RuntimeError
    assert artifacts.exists(first.weights)


@pytest.fixture
def lose_worker(database: Database) -> dict[str, Callable[[HeldJob], None]]:
    """The ways in which a job loses its worker."""

    def die(held: HeldJob) -> None:
        with database.write() as connection:
            connection.execute(update(jobs).values(lease_until=None))

    return {
        "released": lambda held: held.release(1.0),
        "released after a fault": lambda held: held.release(),
        "died": die,
    }


@pytest.mark.parametrize(
    ("how", "retries"), [("released", 0), ("released after a fault", 0), ("died", 1)]
)
def test_only_the_death_of_a_worker_counts_against_its_trials(
    queued, claim, reader: JobReader, artifacts: Artifacts, lose_worker, how: str, retries: int
) -> None:
    queued(strategy=manual(1))
    for worker, expected in enumerate((0, retries)):
        job, held = claim(f"worker-{worker}")
        held.set_dataset("ds_1")
        search = Search(reader.get(job.id), held, artifacts)
        search.resume()
        assert next_trial(search).number == 1
        assert held.trial(1).retries == expected
        lose_worker[how](held)


@pytest.mark.slow
def test_a_trial_over_which_two_workers_died_has_failed_and_the_search_goes_on(
    queued, claim, reader: JobReader, artifacts: Artifacts, lose_worker
) -> None:
    space = {"learning_rate": {"type": "float", "min": 1e-4, "max": 1e-1}}
    queued(strategy=Random(), space=space, budget={"max_trials": 2, "max_failed_trials": 2})
    for death in range(3):
        job, held = claim(f"worker-{death}")
        held.set_dataset("ds_1")
        search = Search(reader.get(job.id), held, artifacts)
        search.resume()
        if death < 2:
            assert next_trial(search).number == 1
            lose_worker["died"](held)
    assert (held.trial(1).state, held.trial(1).failure_kind) == (TrialState.FAILED, "lost")
    assert held.trial(1).failure_message == "Its worker died each time that it ran."
    assert next_trial(search).number == 2


def test_progress_of_a_job_is_read_from_an_index_alone(
    held: HeldJob, reader: JobReader, database: Database
) -> None:
    propose(held, 3)
    held.start(1)
    held.complete(1, scored(0.5, seconds=4.0), {}, 4.0)
    (job,) = reader.page(2)
    asked: list[tuple[str, Any]] = []
    event.listen(
        database.engine,
        "before_cursor_execute",
        lambda c, cursor, sql, parameters, *rest: asked.append((sql, parameters)),
    )
    assert present(reader.with_progress(job).progress).eta_seconds == 2 * 4.0
    ((sql, parameters),) = [each for each in asked if "sum(" in each[0]]
    with database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all()
    assert ["COVERING INDEX" in row.detail for row in plan] == [True]
