from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import SQLAlchemyError

from models.jobs.census import take_census
from models.jobs.ledger import Ledger
from models.jobs.lifecycle import JobState, TrialState
from models.jobs.records import Job
from models.jobs.requests import JobRequests
from models.oracles.oracle import Proposal
from models.store.engine import Database
from models.store.tables import jobs, now
from models.trials.spec import Failure, FailureKind, TrialResult

VALUES = {"num_layers": 0}


@pytest.fixture
def held(queued: Callable[..., Job], claim: Callable[..., tuple[Job, Ledger]]) -> Ledger:
    """The ledger of a job that is held and has five waiting trials."""
    queued()
    _, ledger = claim()
    ledger.propose([Proposal(str(n), VALUES, 2) for n in range(5)], 2, {})
    return ledger


def test_an_empty_database_counts_nothing(database: Database) -> None:
    census = take_census(database)
    assert set(census.jobs) == set(JobState)
    assert set(census.trials) == set(TrialState)
    assert set(census.failures) == set(FailureKind)
    counts = [*census.jobs.values(), *census.trials.values(), *census.failures.values()]
    assert not any(counts)
    assert census.trainer_seconds == {}
    assert (census.queue_age, census.without_worker, census.versions) == (0, 0, 0)


def test_trials_are_counted_by_state_failure_and_trainer(held: Ledger, database: Database) -> None:
    for number in (1, 2, 3, 4):
        held.start(number)
    for number, trainer, seconds in ((1, "numpy", 1.5), (2, "keras", 4.0)):
        held.complete(number, TrialResult(0.5, seconds=seconds, trainer=trainer), {}, 1.0)
    late = TrialResult(history={}, seconds=2.0, trainer="numpy")
    held.fail(3, Failure(FailureKind.DIVERGED, "not finite"), late, {}, 1.0)
    census = take_census(database)
    assert {state: count for state, count in census.trials.items() if count} == {
        TrialState.COMPLETED: 2,
        TrialState.FAILED: 1,
        TrialState.RUNNING: 1,
        TrialState.WAITING: 1,
    }
    assert {kind: count for kind, count in census.failures.items() if count} == {
        FailureKind.DIVERGED: 1
    }
    assert census.trainer_seconds == {"keras": 4.0, "numpy": 3.5}


def test_a_job_waits_from_when_it_was_queued_last(
    queued: Callable[..., Job], requests: JobRequests, database: Database
) -> None:
    job = queued()
    with database.write() as connection:
        long_ago = now() - timedelta(hours=1)
        connection.execute(update(jobs).values(created=long_ago, queued=long_ago))
    assert take_census(database).queue_age >= 3600
    requests.pause(job.id)
    assert take_census(database).queue_age == 0
    requests.resume(job.id)
    assert take_census(database).queue_age < 3600


def test_a_job_that_nobody_holds_is_told(held: Ledger, database: Database) -> None:
    assert take_census(database).without_worker == 0
    held.release(1.0)
    census = take_census(database)
    assert census.jobs[JobState.RUNNING] == 1
    assert census.without_worker == 1


def test_no_statement_reads_the_rows_of_trials(held: Ledger, database: Database) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_c, _cursor, statement, parameters, *_rest) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    take_census(database)
    event.remove(database.engine, "before_cursor_execute", note)
    selects = [pair for pair in asked if pair[0].startswith("SELECT")]
    assert len(selects) == 5
    with database.read() as connection:
        plans = [
            str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given).all())
            for text, given in selects
        ]
    assert all("INDEX" in plan for plan in plans), plans
    assert all("COVERING INDEX" in plan for plan in plans if "trials" in plan or "versions" in plan)


def test_a_database_that_is_not_migrated_is_an_error(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(SQLAlchemyError):
        take_census(database)
    database.close()
