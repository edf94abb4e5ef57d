import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from models.errors import LeaseLost
from models.jobs.lifecycle import JobState, TrialState
from models.jobs.queries import JobQueries
from models.jobs.queue import JobQueue
from models.jobs.requests import JobRequests
from models.store.engine import Database
from models.store.tables import jobs, now
from models.trials.spec import Failure, FailureKind
from tests.jobs.steps import propose, scored

pytestmark = pytest.mark.both_databases


@pytest.fixture
def one(database: Database) -> JobQueue:
    return JobQueue(database, "one", 30.0)


@pytest.fixture
def other(database: Database) -> JobQueue:
    return JobQueue(database, "other", 30.0)


@pytest.fixture
def lapse(database: Database) -> Callable[[str], None]:
    """Let the lease of a job have ended a second ago."""

    def end(job: str) -> None:
        with database.write() as connection:
            moment = now() - timedelta(seconds=1)
            connection.execute(update(jobs).where(jobs.c.id == job).values(lease_until=moment))

    return end


def test_jobs_are_claimed_in_the_order_in_which_they_were_queued(queued, one: JobQueue) -> None:
    wanted = [queued().id for _ in range(3)]
    claimed = [one.claim() for _ in range(3)]
    assert [job.id for job in claimed] == wanted
    assert {job.state for job in claimed} == {JobState.RUNNING}
    assert all(job.started is not None for job in claimed)
    assert one.claim() is None


def test_of_two_claimants_one_gets_the_job(queued, one: JobQueue, other: JobQueue) -> None:
    job = queued()
    assert one.claim().id == job.id
    assert other.claim() is None
    assert set(one.held()) == {job.id}
    assert other.held() == {}


def test_claimants_in_many_threads_never_share_a_job(queued, database: Database) -> None:
    wanted = sorted(queued().id for _ in range(20))
    claimed: list[str] = []
    together = threading.Barrier(4)

    def take(name: str) -> None:
        queue = JobQueue(database, name, 30.0)
        together.wait()
        while job := queue.claim():
            claimed.append(job.id)

    threads = [threading.Thread(target=take, args=(f"worker-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == wanted


def test_a_job_whose_lease_has_lapsed_is_taken_over(
    queued, one: JobQueue, other: JobQueue, lapse
) -> None:
    job = queued()
    started = one.claim().started
    lapse(job.id)
    taken = other.claim()
    assert taken.id == job.id
    assert taken.started == started
    assert one.held() == {}
    assert other.held() == {job.id: (JobState.RUNNING, 0)}


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
    lapse(job.id)
    one.renew()
    assert one.claim().id == job.id


def test_a_released_job_is_free_for_all(queued, one: JobQueue, other: JobQueue) -> None:
    job = queued()
    one.claim()
    other.release(job.id)
    assert other.claim() is None
    one.release(job.id)
    assert other.claim().id == job.id


def test_a_paused_or_ended_job_is_not_claimed(queued, requests: JobRequests, one: JobQueue) -> None:
    requests.pause(queued().id)
    requests.cancel(queued().id)
    assert one.claim() is None


@pytest.mark.parametrize("ask", ["pause", "cancel", "resume"])
def test_a_request_that_reached_a_dead_worker_is_taken_over(
    queued, requests: JobRequests, one: JobQueue, other: JobQueue, lapse, ask: str
) -> None:
    job = queued()
    one.claim()
    wanted = {"pause": JobState.PAUSED, "cancel": JobState.CANCELLING, "resume": JobState.RUNNING}
    if ask == "resume":
        requests.pause(job.id)
    getattr(requests, ask)(job.id)
    assert other.claim() is None
    lapse(job.id)
    assert other.claim().state == wanted[ask]


@pytest.mark.parametrize(
    "write",
    [
        lambda ledger: propose(ledger, 1),
        lambda ledger: ledger.start(2),
        lambda ledger: ledger.hand_back(1, retry=True),
        lambda ledger: ledger.complete(1, scored(0.5), {"a": 1}, 9.0),
        lambda ledger: ledger.fail(1, Failure(FailureKind.LOST, "gone"), None, {"a": 1}, 9.0),
        lambda ledger: ledger.set_dataset("ds_1"),
        lambda ledger: ledger.set_state(JobState.PAUSED),
        lambda ledger: ledger.end_search("target", 9.0, 0),
        lambda ledger: ledger.finish(JobState.FAILED, error="no"),
        lambda ledger: ledger.release(9.0),
    ],
)
def test_a_worker_that_lost_its_job_writes_nothing_more(
    queued, claim, queries: JobQueries, database: Database, other: JobQueue, lapse, write
) -> None:
    job = queued()
    _, ledger = claim("one")
    propose(ledger, 2)
    ledger.start(1)
    lapse(job.id)
    other.claim()
    before = _rows(database), ledger.trials()
    with pytest.raises(LeaseLost):
        write(ledger)
    assert (_rows(database), ledger.trials()) == before
    assert [trial.state for trial in queries.trials(job)] == [
        TrialState.RUNNING,
        TrialState.WAITING,
    ]


def test_a_worker_whose_job_was_deleted_writes_nothing_more(
    queued, claim, requests: JobRequests, database: Database
) -> None:
    job = queued()
    _, ledger = claim("one")
    requests.pause(job.id)
    requests.resume(job.id)
    requests.delete(job.id)
    with pytest.raises(LeaseLost):
        propose(ledger, 1)
    assert _rows(database) == []


def test_what_the_new_owner_writes_counts(queued, claim, lapse, queries: JobQueries) -> None:
    job = queued()
    claim("one")
    lapse(job.id)
    _, ledger = claim("other")
    propose(ledger, 1)
    ledger.start(1)
    ledger.complete(1, scored(0.5), {}, 4.0)
    assert queries.trial(job, 1).score == 0.5
    assert queries.get(job.id).seconds == 4.0


def test_a_ledger_refuses_a_trial_in_the_wrong_state(queued, claim) -> None:
    queued()
    _, ledger = claim()
    propose(ledger, 1)
    with pytest.raises(LeaseLost, match="cannot become completed"):
        ledger.complete(1, scored(0.5), {}, 4.0)
    assert ledger.trial(1).state == TrialState.WAITING


def _rows(database: Database) -> list[tuple]:
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(select(jobs))]
