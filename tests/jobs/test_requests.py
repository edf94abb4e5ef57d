import threading
from typing import Any

import pytest
from sqlalchemy import func, insert, select

from models.errors import Conflict, Invalid, NotFound
from models.jobs.lifecycle import JobState, TrialState
from models.jobs.queries import JobQueries
from models.jobs.records import Job
from models.jobs.requests import JobRequests
from models.jobs.spec import JobSpec
from models.jobs.steering import Steering
from models.store.artifacts import Artifacts
from models.store.engine import Database
from models.store.tables import jobs, now, trials, versions
from tests.jobs.steps import propose, scored

pytestmark = pytest.mark.both_databases


def count(database: Database, table: Any) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_weight": "balanced", "sample_weight": "petal width (cm)"},
        {"class_weight": (("0", 1.0), ("1", 2.5), ("2", 1.0))},
    ],
    ids=["plain", "balanced", "factors"],
)
def test_a_job_is_stored_as_it_was_asked_for(
    requests: JobRequests, queries: JobQueries, make_spec, changes: dict[str, Any]
) -> None:
    spec = make_spec(**changes)
    job = requests.create(spec, 3)
    found = queries.get(job.id)
    assert found == job
    assert found.spec == spec
    assert found.state == JobState.QUEUED
    assert found.planned_trials == 3
    assert found.dataset is None


def test_jobs_from_before_rows_had_weights_are_read(make_spec) -> None:
    document = make_spec().to_document()
    del document["class_weight"], document["sample_weight"]
    assert JobSpec.from_document(document) == make_spec()


def test_the_dataset_of_a_stored_one_is_known_at_once(requests: JobRequests, make_spec) -> None:
    assert requests.create(make_spec(dataset="ds_1"), 3).dataset == "ds_1"


def test_a_request_sent_again_answers_the_same_job(
    requests: JobRequests, database: Database, make_spec
) -> None:
    first = requests.create(make_spec(), 3, "key", "digest")
    again = requests.create(make_spec(), 3, "key", "digest")
    assert again == first
    assert count(database, jobs) == 1


def test_a_key_used_with_another_request_is_refused(
    requests: JobRequests, database: Database, make_spec
) -> None:
    requests.create(make_spec(), 3, "key", "digest")
    with pytest.raises(Invalid) as refusal:
        requests.create(make_spec(seed=9), 3, "key", "other digest")
    assert list(refusal.value.errors) == ["Idempotency-Key"]
    assert count(database, jobs) == 1


def test_requests_without_a_key_are_never_the_same(
    requests: JobRequests, database: Database, make_spec
) -> None:
    for _ in range(2):
        requests.create(make_spec(), 3, None, "digest")
    assert count(database, jobs) == 2


def test_equal_requests_at_the_same_moment_make_one_job(
    requests: JobRequests, database: Database, make_spec
) -> None:
    made: list[Job] = []
    together = threading.Barrier(4)

    def ask() -> None:
        together.wait()
        made.append(requests.create(make_spec(), 3, "key", "digest"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job in made}) == 1
    assert len(made) == 4
    assert count(database, jobs) == 1


def test_cancelling_a_queued_job_ends_it_at_once(queued, requests: JobRequests) -> None:
    job = requests.cancel(queued().id)
    assert job.state == JobState.CANCELLED
    assert job.finished is not None
    assert requests.cancel(job.id) == job


def test_cancelling_a_running_job_leaves_the_end_to_its_worker(
    queued, claim, requests: JobRequests, queries: JobQueries
) -> None:
    queued()
    job, ledger = claim()
    propose(ledger, 2)
    ledger.start(1)
    assert requests.cancel(job.id).state == JobState.CANCELLING
    assert requests.cancel(job.id).state == JobState.CANCELLING
    assert queries.trial(job, 1).state == TrialState.RUNNING
    ledger.finish(JobState.CANCELLED)
    assert {trial.state for trial in queries.trials(job)} == {TrialState.CANCELLED}
    assert queries.get(job.id).finished is not None


def test_cancelling_a_paused_job_ends_it_and_its_waiting_trials(
    queued, claim, requests: JobRequests, queries: JobQueries
) -> None:
    queued()
    job, ledger = claim()
    propose(ledger, 2)
    ledger.start(1)
    ledger.complete(1, scored(0.5), {}, 1.0)
    requests.pause(job.id)
    ledger.release(1.0)
    assert requests.cancel(job.id).state == JobState.CANCELLED
    assert [trial.state for trial in queries.trials(job)] == [
        TrialState.COMPLETED,
        TrialState.CANCELLED,
    ]


def test_cancelling_a_paused_job_that_its_worker_still_holds(
    queued, claim, requests: JobRequests
) -> None:
    queued()
    job, _ = claim()
    requests.pause(job.id)
    assert requests.cancel(job.id).state == JobState.CANCELLING


def test_a_job_can_be_paused_and_resumed(queued, claim, requests: JobRequests) -> None:
    job = queued()
    for _ in range(2):
        assert requests.pause(job.id).state == JobState.PAUSED
    for _ in range(2):
        assert requests.resume(job.id).state == JobState.QUEUED
    claim()
    assert requests.pause(job.id).state == JobState.PAUSED
    assert requests.resume(job.id).state == JobState.QUEUED


@pytest.mark.parametrize("final", [JobState.SUCCEEDED, JobState.FAILED])
def test_a_job_that_has_ended_takes_no_requests(
    queued, claim, requests: JobRequests, queries: JobQueries, final: JobState
) -> None:
    queued()
    job, ledger = claim()
    ledger.finish(final)
    before = queries.get(job.id)
    for ask in (requests.pause, requests.resume, requests.cancel):
        with pytest.raises(Conflict, match=final):
            ask(job.id)
    assert queries.get(job.id) == before


def test_a_cancelled_job_cannot_be_resumed(queued, requests: JobRequests) -> None:
    job = requests.cancel(queued().id)
    for ask in (requests.pause, requests.resume):
        with pytest.raises(Conflict, match="cancelled"):
            ask(job.id)


def test_resuming_a_running_job_is_refused(queued, claim, requests: JobRequests) -> None:
    queued()
    job, _ = claim()
    with pytest.raises(Conflict, match="running; it cannot become queued"):
        requests.resume(job.id)


def test_deleting_takes_trials_and_files_but_no_version(
    queued, claim, requests: JobRequests, artifacts: Artifacts, database: Database
) -> None:
    queued()
    job, ledger = claim()
    propose(ledger, 2)
    artifacts.write(f"jobs/{job.id}/trials/1/weights-0-0.npz", b"x")
    row = {"model": "iris", "version": 1, "task": "multiclass", "job": job.id, "created": now()}
    with database.write() as connection:
        connection.execute(insert(versions).values(**row, files={}, details={}, ready=True))
    ledger.finish(JobState.SUCCEEDED, version=1)
    requests.delete(job.id)
    assert [count(database, table) for table in (jobs, trials, versions)] == [0, 0, 1]
    assert not artifacts.exists(f"jobs/{job.id}")


def test_a_queued_job_can_be_deleted(queued, requests: JobRequests, database: Database) -> None:
    requests.delete(queued().id)
    assert count(database, jobs) == 0


@pytest.mark.parametrize("state", ["running", "paused", "cancelling"])
def test_a_job_that_is_not_at_an_end_cannot_be_deleted(
    queued, claim, requests: JobRequests, queries: JobQueries, state: str
) -> None:
    queued()
    job, _ = claim()
    if state != "running":
        {"paused": requests.pause, "cancelling": requests.cancel}[state](job.id)
    with pytest.raises(Conflict, match=f"is {state}; cancel it before deleting it"):
        requests.delete(job.id)
    assert queries.get(job.id).state == state


def test_an_unknown_job_is_not_found(
    requests: JobRequests, queries: JobQueries, database: Database
) -> None:
    for ask in (requests.pause, requests.resume, requests.cancel, requests.delete, queries.get):
        with pytest.raises(NotFound, match="job 'job_nowhere'"):
            ask("job_nowhere")
    for change in (Steering(database).give, Steering(database).raise_budget):
        with pytest.raises(NotFound, match="job 'job_nowhere'"):
            change("job_nowhere", {})
