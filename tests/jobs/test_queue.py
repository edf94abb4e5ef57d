import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, select, update

from models.errors import LeaseLost
from models.jobs.commands import JobCommands
from models.jobs.model import JobState, TrialState
from models.jobs.reader import JobReader
from models.jobs.store.held_job import HeldJob
from models.jobs.store.queue import JobQueue, Wanted
from models.store.engine import Database
from models.store.removals import listed
from models.store.tables import jobs, now, removals
from models.trials.spec import Failure, FailureKind
from tests.jobs.steps import LEASE, present, propose, scored

pytestmark = pytest.mark.both_databases


@pytest.fixture
def one(database: Database) -> JobQueue:
    return JobQueue(database, "one", LEASE)


@pytest.fixture
def other(database: Database) -> JobQueue:
    return JobQueue(database, "other", LEASE)


@pytest.fixture
def lapse(database: Database) -> Callable[[str], None]:
    """Let the lease of a job have ended, without waiting for it."""

    def end(job: str) -> None:
        with database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job).values(lease_until=None))

    return end


def test_jobs_are_claimed_in_the_order_in_which_they_were_queued(queued, one: JobQueue) -> None:
    wanted = [queued().id for _ in range(3)]
    claimed = [present(one.claim()) for _ in range(3)]
    assert [job.id for job in claimed] == wanted
    assert {job.state for job in claimed} == {JobState.RUNNING}
    assert all(job.started is not None for job in claimed)
    assert one.claim() is None


def test_a_claim_does_not_read_through_the_jobs_that_have_ended(
    queued, one: JobQueue, database: Database
) -> None:
    """A service has thousands of them, all older than the open ones."""
    first = queued().id
    with database.write() as connection:
        row = dict(connection.execute(select(jobs).where(jobs.c.id == first)).one()._mapping)
        rows = [
            row | {"id": f"{state}_{n}", "state": state, "created": row["created"] + moved}
            for state, moved in (("succeeded", -timedelta(days=1)), ("queued", timedelta(days=1)))
            for n in range(2000)
        ]
        connection.execute(insert(jobs), rows)
        connection.exec_driver_sql("ANALYZE")
    sent: list[tuple[str, Any]] = []
    event.listen(database.engine, "before_cursor_execute", lambda *of: sent.append(of[2:4]))
    assert present(one.claim()).id == first
    ((statement, parameters),) = [each for each in sent if "ORDER BY" in each[0]]
    explain = "EXPLAIN" if database.is_postgresql else "EXPLAIN QUERY PLAN"
    with database.write() as connection:
        plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())
    assert "ix_jobs_created" not in plan, plan


def test_of_two_claimants_one_gets_the_job(queued, one: JobQueue, other: JobQueue) -> None:
    job = queued()
    assert present(one.claim()).id == job.id
    assert other.claim() is None
    assert set(one.held()) == {job.id}
    assert other.held() == {}


def test_claimants_in_many_threads_never_share_a_job(queued, database: Database) -> None:
    wanted = sorted(queued().id for _ in range(20))
    claimed: list[str] = []
    together = threading.Barrier(4)

    def take(name: str) -> None:
        queue = JobQueue(database, name, LEASE)
        together.wait()
        while job := queue.claim():
            claimed.append(job.id)

    threads = [threading.Thread(target=take, args=(f"worker-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == wanted


def test_a_job_whose_lease_has_lapsed_is_claimed_by_another(
    queued, one: JobQueue, other: JobQueue, lapse
) -> None:
    job = queued()
    started = present(one.claim()).started
    lapse(job.id)
    taken = present(other.claim())
    assert taken.id == job.id
    assert taken.started == started
    assert one.held() == {}
    assert other.held() == {job.id: Wanted(JobState.RUNNING, changes=0, claim=2)}


def test_renewing_keeps_a_job(queued, one: JobQueue, other: JobQueue, lapse) -> None:
    job = queued()
    one.claim()
    lapse(job.id)
    one.renew()
    assert other.claim() is None
    assert set(one.held()) == {job.id}


def test_renewing_does_not_take_a_job_back(queued, one: JobQueue, other: JobQueue, lapse) -> None:
    job = queued()
    one.claim()
    lapse(job.id)
    other.claim()
    one.renew()
    assert one.held() == {}
    assert set(other.held()) == {job.id}


def test_a_released_job_is_free_for_all(
    queued, one: JobQueue, other: JobQueue, database: Database
) -> None:
    job = queued()
    one.claim()
    with pytest.raises(LeaseLost):
        HeldJob(database, job.id, other.owner).release()
    assert other.claim() is None
    HeldJob(database, job.id, one.owner).release()
    assert present(other.claim()).id == job.id


def test_a_job_that_ends_its_worker_three_times_is_failed(
    queued, database: Database, reader: JobReader, lapse
) -> None:
    job, later = queued(), queued()
    for death in range(3):
        assert present(JobQueue(database, f"worker-{death}", LEASE).claim()).id == job.id
        lapse(job.id)
    assert present(JobQueue(database, "worker-3", LEASE).claim()).id == later.id
    failed = reader.get(job.id)
    assert (failed.state, failed.error) == (JobState.FAILED, "it ended its worker 3 times")


def test_a_job_that_gets_on_may_lose_its_worker_any_number_of_times(
    queued, database: Database, lapse
) -> None:
    job = queued()
    for death in range(5):
        owner = f"worker-{death}"
        assert present(JobQueue(database, owner, LEASE).claim()).id == job.id
        held = HeldJob(database, job.id, owner)
        (number,) = propose(held, 1)
        held.start(number)
        held.complete(number, scored(0.5), {}, 1.0)
        lapse(job.id)


class Clock:
    """A clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watcher(database: Database, clock: Clock) -> JobQueue:
    """Another worker, whose time goes on as `clock` says."""
    return JobQueue(database, "watcher", LEASE, clock)


def test_a_worker_never_claims_what_it_holds(queued, one: JobQueue, other: JobQueue, lapse) -> None:
    job, later = queued(), queued()
    assert present(one.claim()).id == job.id
    lapse(job.id)
    assert present(one.claim()).id == later.id
    assert one.claim() is None
    assert set(one.held()) == {job.id, later.id}
    assert present(other.claim()).id == job.id, "any other worker may take it"


def test_a_lease_lapses_when_another_worker_has_seen_no_renewal_for_so_long(
    queued, one: JobQueue, watcher: JobQueue, clock: Clock
) -> None:
    job = queued()
    one.claim()
    for _ in range(10):
        assert watcher.claim() is None
        clock.seconds += LEASE / 10
    assert present(watcher.claim()).id == job.id


def test_a_renewal_begins_the_lease_anew(
    queued, one: JobQueue, watcher: JobQueue, clock: Clock
) -> None:
    queued()
    one.claim()
    for step in range(50):
        assert watcher.claim() is None
        clock.seconds += LEASE / 10
        if step % 5 == 4:
            one.renew()


@pytest.mark.parametrize("jump", [timedelta(days=1), -timedelta(days=1)])
def test_the_time_in_the_database_says_nothing_of_a_lease(
    queued, one: JobQueue, watcher: JobQueue, database: Database, clock: Clock, jump: timedelta
) -> None:
    job = queued()
    one.claim()
    with database.write() as connection:
        connection.execute(update(jobs).values(lease_until=now() + jump))
    for _ in range(10):
        assert watcher.claim() is None
        clock.seconds += LEASE / 10
    assert present(watcher.claim()).id == job.id


def test_time_in_which_nobody_could_look_is_no_evidence(
    queued, one: JobQueue, watcher: JobQueue, clock: Clock
) -> None:
    """The database was away, from the job's worker as well."""
    queued()
    one.claim()
    for _ in range(5):
        assert watcher.claim() is None
        clock.seconds += 10 * LEASE
        assert watcher.claim() is None
        one.renew()


def test_a_claim_is_told_from_an_earlier_one_of_the_same_worker(
    queued, one: JobQueue, database: Database
) -> None:
    job = queued()
    first = present(one.claim())
    before = HeldJob(database, job.id, one.owner, first.claims)
    before.release()
    again = present(one.claim())
    with pytest.raises(LeaseLost):
        before.set_dataset("ds_1")
    HeldJob(database, job.id, one.owner, again.claims).set_dataset("ds_1")


def test_a_worker_that_was_taken_for_dead_takes_the_count_back(
    queued, one: JobQueue, other: JobQueue, database: Database, reader: JobReader, lapse
) -> None:
    job = queued()
    first = present(one.claim())
    held = HeldJob(database, job.id, one.owner)
    for number in propose(held, 2):
        held.start(number)
    lapse(job.id)
    second = present(other.claim())
    held = HeldJob(database, job.id, other.owner)
    for number in (1, 2):
        held.requeue(number, retry=True)
    one.survived(job.id, first.claims, [1])
    one.survived(job.id, first.claims - 1, [2])  # of a claim that was not taken over
    assert [trial.retries for trial in reader.trials(job)] == [0, 1]
    other.survived(job.id, second.claims, [1, 2])  # it holds the job
    assert [trial.retries for trial in reader.trials(job)] == [0, 1]
    with database.read() as connection:
        assert connection.execute(select(jobs.c.attempts)).scalar_one() == 0


def test_folders_of_a_worker_that_was_taken_for_dead_are_looked_through_again(
    queued, one: JobQueue, other: JobQueue, database: Database, commands: JobCommands, lapse
) -> None:
    """Its last task may have written there after the job's end, or after its deletion."""
    job = queued()
    first = present(one.claim())
    lapse(job.id)
    second = present(other.claim())
    HeldJob(database, job.id, other.owner, second.claims).finish(JobState.FAILED, error="no")
    commands.delete(job.id)
    folders = [f"jobs/{job.id}", "models/iris/1"]
    with database.write() as connection:
        connection.execute(delete(removals))  # as after a sweep
    one.survived(job.id, first.claims, [1], folders)
    with database.read() as connection:
        assert listed(connection, now() + timedelta(days=1), timedelta(), 10) == folders


def test_a_paused_or_ended_job_is_not_claimed(queued, commands: JobCommands, one: JobQueue) -> None:
    commands.pause(queued().id)
    commands.cancel(queued().id)
    assert one.claim() is None


@pytest.mark.parametrize("ask", ["pause", "cancel", "resume"])
def test_a_request_that_reached_a_dead_worker_is_carried_out_by_the_next(
    queued, commands: JobCommands, one: JobQueue, other: JobQueue, lapse, ask: str
) -> None:
    job = queued()
    one.claim()
    wanted = {"pause": JobState.PAUSED, "cancel": JobState.CANCELLING, "resume": JobState.RUNNING}
    if ask == "resume":
        commands.pause(job.id)
    getattr(commands, ask)(job.id)
    assert other.claim() is None
    lapse(job.id)
    assert present(other.claim()).state == wanted[ask]


@pytest.mark.parametrize(
    "write",
    [
        lambda held: propose(held, 1),
        lambda held: held.start(2),
        lambda held: held.requeue(1, retry=True),
        lambda held: held.complete(1, scored(0.5), {"a": 1}, 9.0),
        lambda held: held.fail(1, Failure(FailureKind.LOST, "gone"), None, {"a": 1}, 9.0),
        lambda held: held.set_dataset("ds_1"),
        lambda held: held.resume(),
        lambda held: held.end_search("target", 9.0, 0),
        lambda held: held.finish(JobState.FAILED, error="no"),
        lambda held: held.release(9.0),
    ],
)
def test_a_worker_that_lost_its_job_writes_nothing_more(
    queued, claim, reader: JobReader, database: Database, other: JobQueue, lapse, write
) -> None:
    job = queued()
    _, held = claim("one")
    propose(held, 2)
    held.start(1)
    lapse(job.id)
    other.claim()
    before = _rows(database), held.trials()
    with pytest.raises(LeaseLost):
        write(held)
    assert (_rows(database), held.trials()) == before
    assert [trial.state for trial in reader.trials(job)] == [
        TrialState.RUNNING,
        TrialState.WAITING,
    ]


def test_a_worker_whose_job_was_deleted_writes_nothing_more(
    queued, claim, commands: JobCommands, database: Database
) -> None:
    job = queued()
    _, held = claim("one")
    commands.pause(job.id)
    commands.resume(job.id)
    commands.delete(job.id)
    with pytest.raises(LeaseLost):
        propose(held, 1)
    assert _rows(database) == []


def test_what_the_new_owner_writes_counts(queued, claim, lapse, reader: JobReader) -> None:
    job = queued()
    claim("one")
    lapse(job.id)
    _, held = claim("other")
    propose(held, 1)
    held.start(1)
    held.complete(1, scored(0.5), {}, 4.0)
    assert reader.trial(job, 1).score == 0.5
    assert reader.get(job.id).seconds == 4.0


def test_a_trial_in_the_wrong_state_cannot_be_completed(queued, claim) -> None:
    queued()
    _, held = claim()
    propose(held, 1)
    with pytest.raises(LeaseLost, match="cannot become completed"):
        held.complete(1, scored(0.5), {}, 4.0)
    assert held.trial(1).state == TrialState.WAITING


def _rows(database: Database) -> list[tuple]:
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(select(jobs))]
