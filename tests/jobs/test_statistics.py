from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import SQLAlchemyError

from models.jobs.commands import JobCommands
from models.jobs.model import Job, JobState, TrialState
from models.jobs.reader import job_statistics
from models.jobs.store.held_job import HeldJob
from models.oracles.oracle import Proposal
from models.store.engine import Database
from models.store.tables import jobs, now
from models.trials.spec import Failure, FailureKind, TrialResult

VALUES = {"num_layers": 0}


@pytest.fixture
def held(queued: Callable[..., Job], claim: Callable[..., tuple[Job, HeldJob]]) -> HeldJob:
    """A job that a worker holds, with five waiting trials."""
    queued()
    _, held = claim()
    held.propose([Proposal(str(n), VALUES, 2) for n in range(5)], 2, {})
    return held


def test_an_empty_database_counts_nothing(database: Database) -> None:
    statistics = job_statistics(database)
    assert set(statistics.jobs) == set(JobState)
    assert set(statistics.trials) == set(TrialState)
    assert set(statistics.failures) == set(FailureKind)
    counts = [*statistics.jobs.values(), *statistics.trials.values(), *statistics.failures.values()]
    assert not any(counts)
    assert statistics.trainer_seconds == {}
    assert (statistics.queue_age, statistics.without_worker, statistics.versions) == (0, 0, 0)


def test_trials_are_counted_by_state_failure_and_trainer(held: HeldJob, database: Database) -> None:
    for number in (1, 2, 3, 4):
        held.start(number)
    for number, trainer, seconds in ((1, "numpy", 1.5), (2, "keras", 4.0)):
        held.complete(number, TrialResult(0.5, seconds=seconds, trainer=trainer), {}, 1.0)
    late = TrialResult(history={}, seconds=2.0, trainer="numpy")
    held.fail(3, Failure(FailureKind.DIVERGED, "not finite"), late, {}, 1.0)
    statistics = job_statistics(database)
    assert {state: count for state, count in statistics.trials.items() if count} == {
        TrialState.COMPLETED: 2,
        TrialState.FAILED: 1,
        TrialState.RUNNING: 1,
        TrialState.WAITING: 1,
    }
    assert {kind: count for kind, count in statistics.failures.items() if count} == {
        FailureKind.DIVERGED: 1
    }
    assert statistics.trainer_seconds == {"keras": 4.0, "numpy": 3.5}


def test_a_job_waits_from_when_it_was_queued_last(
    queued: Callable[..., Job], commands: JobCommands, database: Database
) -> None:
    job = queued()
    with database.write() as connection:
        long_ago = now() - timedelta(hours=1)
        connection.execute(update(jobs).values(created=long_ago, queued=long_ago))
    assert job_statistics(database).queue_age >= 3600
    commands.pause(job.id)
    assert job_statistics(database).queue_age == 0
    commands.resume(job.id)
    assert job_statistics(database).queue_age < 3600


def test_a_job_that_nobody_holds_is_reported(held: HeldJob, database: Database) -> None:
    assert job_statistics(database).without_worker == 0
    held.release(1.0)
    statistics = job_statistics(database)
    assert statistics.jobs[JobState.RUNNING] == 1
    assert statistics.without_worker == 1


def test_no_statement_reads_the_rows_of_trials(held: HeldJob, database: Database) -> None:
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_c, _cursor, statement, parameters, *_rest) -> None:
        asked.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    job_statistics(database)
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
        job_statistics(database)
    database.close()
